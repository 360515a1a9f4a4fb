// The sign-in page: the token once, then a cookie that no script can read.

import { showNavigation } from "./navigation.js";
import { complain, forgive } from "./operator.js";

const HOME = "calls.html";

/** Where to go on to: a page of this box, whatever the address says. */
export function destination(search) {
  const wanted = new URLSearchParams(search).get("next") ?? "";
  return /^[a-z_]+\.html(\?[\w=&.~%+-]*)?$/.test(wanted) && !wanted.startsWith("login.html")
    ? wanted
    : HOME;
}

async function signIn(token) {
  let response;
  try {
    response = await fetch("api/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
    });
  } catch {
    throw new Error("The box does not answer. Is `offhook serve` running?");
  }
  if (response.ok) return;
  const answer = await response.json().catch(() => null);
  throw new Error(answer?.error ?? `The box answered ${response.status}.`);
}

const form = document.getElementById("form");
if (form) {
  const token = document.getElementById("token");
  showNavigation();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    forgive();
    try {
      await signIn(token.value.trim());
      location.replace(destination(location.search));
    } catch (error) {
      token.value = "";
      token.focus();
      complain(error);
    }
  });
  const session = await fetch("api/session", { cache: "no-store" })
    .then((response) => response.json())
    .catch(() => null);
  if (session && (!session.token_needed || session.signed_in)) {
    location.replace(destination(location.search));
  }
}
