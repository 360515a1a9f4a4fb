// The sign-in page: the token once, then a cookie that no script can read.

import { showNavigation } from "./navigation.js";
import { complain, destination, forgive } from "./operator.js";

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

/** Not where the box asks for no token, or this browser has shown it already. */
async function isNeeded() {
  const response = await fetch("api/session", { cache: "no-store" }).catch(() => null);
  if (!response?.ok) return true;
  const session = await response.json();
  return session.token_needed && !session.signed_in;
}

const form = document.getElementById("form");
const token = document.getElementById("token");

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
showNavigation();
if (!(await isNeeded())) location.replace(destination(location.search));
