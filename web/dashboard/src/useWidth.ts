// SPDX-License-Identifier: AGPL-3.0-or-later
import { type RefCallback, useCallback, useState } from "react";

/** useWidth measures the inside of an element as it is and whenever it changes, in px; 0 before it is there. */
export function useWidth(): [RefCallback<HTMLElement>, number] {
  const [width, setWidth] = useState(0);
  const ref = useCallback((element: HTMLElement | null) => {
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => setWidth(entry?.contentRect.width ?? 0));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}
