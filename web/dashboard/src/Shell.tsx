// SPDX-License-Identifier: AGPL-3.0-or-later
import { Link, Outlet, useLocation } from "@tanstack/react-router";
import { useEffect } from "react";
import { exact } from "./format";
import { useFleet } from "./stream";
import { useNow } from "./useNow";

const LINK = { connecting: "connecting…", open: "live", lost: "connection lost" } as const;

/** Shell is the frame of every page: where one can go, and whether what one sees is live. */
export function Shell() {
  const { link } = useFleet();
  const { pathname } = useLocation();
  // A tab is found again by its title: the instance, or the page.
  useEffect(() => {
    const last = decodeURIComponent(pathname.split("/").pop() ?? "");
    document.title = last ? `${last} · chartroom` : "chartroom";
  }, [pathname]);
  return (
    <>
      <header className="top">
        <Link to="/" className="brand">
          chartroom
        </Link>
        <nav aria-label="Pages">
          <Link to="/">Fleet</Link>
          <Link to="/hosts">Hosts</Link>
          <Link to="/charts">Charts</Link>
        </nav>
        <span role="status" className={`link ${link}`}>
          {LINK[link]}
        </span>
      </header>
      <Banner />
      {/* What is not known is never green: without a connection all colours go. */}
      <main className={link === "lost" ? "stale" : undefined}>
        <Outlet />
      </main>
    </>
  );
}

/** Banner says of a page that is not live why, and what happens next. */
function Banner() {
  const { link, heard, retry, synced, problem, missing } = useFleet();
  const now = useNow();
  if (link === "open" && !synced && problem && !missing) {
    return (
      <div className="banner">
        <span role="alert">The server does not know the fleet now: {problem}. It is asked again.</span>
      </div>
    );
  }
  if (link !== "lost") return null;
  const seconds = Math.ceil((retry - now) / 1000);
  return (
    <div className="banner">
      <span role="alert">
        {heard ? `The connection to chartroom is lost; last heard of at ${exact(new Date(heard).toISOString(), now)}. What is shown was last known then, and nothing can be asked for.` : "There is no connection to chartroom."}
      </span>{" "}
      {/* Not in the alert, which would be read out each second. */}
      <span>{seconds > 0 ? `Connecting again in ${seconds} s…` : "Connecting again…"}</span>
    </div>
  );
}
