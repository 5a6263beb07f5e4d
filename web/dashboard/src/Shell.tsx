// SPDX-License-Identifier: AGPL-3.0-or-later
import { Link, Outlet, useLocation } from "@tanstack/react-router";
import { useEffect } from "react";
import { useFleet } from "./stream";

const LINK = { connecting: "connecting…", open: "live", lost: "connection lost: this is what was last known; trying again…" } as const;

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
      {/* What is not known is never green: without a connection all colours go. */}
      <main className={link === "lost" ? "stale" : undefined}>
        <Outlet />
      </main>
    </>
  );
}
