// What the operator's pages share: asking the box, and saying numbers, times and faults.

import { child } from "./element.js";

const TOKEN_KEY = "offhook.token";
const HOME = "calls.html";

/**
 * GET of JSON. Where the box asks for its token, signs in with the one that this tab was
 * given, else leaves for the sign-in page and never returns. Throws Error with the box's words.
 */
export async function fetchJson(path, { signal } = {}) {
  let response = await ask(path, signal);
  if (response.status === 401 && (await signInWith(sessionStorage.getItem(TOKEN_KEY)))) {
    response = await ask(path, signal);
  }
  if (response.status === 401) return leaveForSignIn();
  const answer = await response.json().catch(() => null);
  if (!response.ok || answer === null) {
    throw new Error(answer?.error ?? `The box answered ${response.status} to ${path}.`);
  }
  return answer;
}

/** POST of the token; the box answers with a session cookie. Resolves to whether it took it. */
export async function signInWith(token) {
  if (!token) return false;
  const response = await fetch("api/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  return response.ok;
}

/** Where to go on to: a page of this box, whatever the address says. */
export function destination(search) {
  const wanted = new URLSearchParams(search).get("next") ?? "";
  return /^[a-z_]+\.html(\?[\w=&.~%+-]*)?$/.test(wanted) && !wanted.startsWith("login.html")
    ? wanted
    : HOME;
}

/** Adds "Sign out" to the bar where this box asks for a token. */
export async function offerSignOut(header = document.querySelector("header.top")) {
  const response = await fetch("api/session", { cache: "no-store" });
  if (!response.ok || !(await response.json()).signed_in) return;
  const button = child(header, "button", "quiet");
  button.type = "button";
  button.dataset.testid = "sign-out";
  button.textContent = "Sign out";
  button.addEventListener("click", async () => {
    sessionStorage.removeItem(TOKEN_KEY);
    await fetch("api/logout", { method: "POST" });
    location.assign("login.html");
  });
}

/** Shows `error` in `<div id="error" class="error" role="alert" hidden>`. */
export function complain(error, box = document.getElementById("error")) {
  box.replaceChildren();
  child(box, "p").textContent = error.message;
  box.hidden = false;
}

export function forgive(box = document.getElementById("error")) {
  box.hidden = true;
}

/** "$0.0421"; "unknown" where a price is not known: never zero. `usd`: a text or a number. */
export function usd(value) {
  if (value === null || value === undefined) return "unknown";
  const amount = Number(value);
  const size = Math.abs(amount);
  if (size === 0) return "$0";
  if (size < 1e-6) return "< $0.000001";
  const digits = size >= 10 ? 2 : size >= 0.01 ? 4 : Math.min(8, 1 - Math.floor(Math.log10(size)));
  return `${amount < 0 ? "−" : ""}$${size.toFixed(digits)}`;
}

/** "48 s", "3 min 05 s", "2 h 10 min". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (hours) return `${hours} h ${String(minutes).padStart(2, "0")} min`;
  return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
}

/** An ISO moment as the reader's own date and time. */
export function moment(iso) {
  if (!iso) return "–";
  return new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** A cell at the end of `row`; `className` "number" aligns it to the right. */
export function cell(row, text, className = "", tag = "td") {
  const element = child(row, tag, className);
  element.textContent = text;
  return element;
}

async function ask(path, signal) {
  try {
    return await fetch(path, { cache: "no-store", signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The box does not answer. Is `offhook serve` running?");
  }
}

function leaveForSignIn() {
  const page = location.pathname.split("/").at(-1) + location.search;
  location.assign(`login.html?next=${encodeURIComponent(page)}`);
  return new Promise(() => {});
}
