// SPDX-License-Identifier: AGPL-3.0-or-later
import { createRootRoute, createRoute, createRouter, Link, RouterProvider } from "@tanstack/react-router";
import { StrictMode, useEffect } from "react";
import { createRoot } from "react-dom/client";
import { Charts } from "./Charts";
import { FleetPage } from "./Fleet";
import { Hosts } from "./Hosts";
import { InstancePage } from "./Instance";
import { Shell } from "./Shell";
import { stream } from "./stream";
import "./style.css";

const root = createRootRoute({ component: Shell, notFoundComponent: Nowhere });

function Nowhere() {
  useEffect(() => stream.watch({}), []);
  return (
    <p className="empty">
      There is nothing at this address. <Link to="/">See the fleet</Link>
    </p>
  );
}

interface FleetSearch {
  state?: string | undefined;
  q?: string | undefined;
}

const fleet = createRoute({
  getParentRoute: () => root,
  path: "/",
  component: FleetPage,
  // The filter is in the address, so that it can be sent to a colleague.
  validateSearch: (search: Record<string, unknown>): FleetSearch => ({
    state: typeof search["state"] === "string" ? search["state"] : undefined,
    q: typeof search["q"] === "string" ? search["q"] : undefined,
  }),
});
const instance = createRoute({ getParentRoute: () => root, path: "/instances/$id", component: InstancePage });
const hosts = createRoute({ getParentRoute: () => root, path: "/hosts", component: Hosts });
const charts = createRoute({ getParentRoute: () => root, path: "/charts", component: Charts });

const router = createRouter({ routeTree: root.addChildren([fleet, instance, hosts, charts]) });

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

const element = document.getElementById("root");
if (element) {
  createRoot(element).render(
    <StrictMode>
      <RouterProvider router={router} />
    </StrictMode>,
  );
}
