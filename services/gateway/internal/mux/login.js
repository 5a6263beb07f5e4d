// SPDX-License-Identifier: AGPL-3.0-or-later
// A token in the fragment (#token=…) signs in by itself, once.
const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token) {
  history.replaceState(null, "", location.pathname);
  const form = document.querySelector("form");
  form.elements.token.value = token;
  form.submit();
}
