// SPDX-License-Identifier: AGPL-3.0-or-later
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  // `npm run dev` serves the page and passes the rest to a running gateway.
  server: { proxy: { "/v1": { target: "http://127.0.0.1:7400", ws: true } } },
  // The license banner of a bundled library stays in the output.
  build: { target: "es2023", chunkSizeWarningLimit: 800 },
});
