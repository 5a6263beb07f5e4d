// SPDX-License-Identifier: AGPL-3.0-or-later
import { useSyncExternalStore } from "react";

// The same width as in style.css.
const query = window.matchMedia("(max-width: 760px)");

function subscribe(changed: () => void): () => void {
  query.addEventListener("change", changed);
  return () => query.removeEventListener("change", changed);
}

/** useNarrow says whether the window is as narrow as a telephone's: rows are higher then. */
export function useNarrow(): boolean {
  return useSyncExternalStore(subscribe, () => query.matches);
}
