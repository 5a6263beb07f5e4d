// SPDX-License-Identifier: AGPL-3.0-or-later
import { useEffect, useState } from "react";

/** useNow is the present time, renewed every second, for ages that count up. */
export function useNow(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
