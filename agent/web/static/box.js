// The box's HTTP interface, and the token that opens it.

import { refusal, unreachable } from "./faults.js";

const TOKEN_KEY = "offhook.token";

/** Takes the token out of the address, where it would stay in the history. */
export function adoptToken(location, history) {
  const url = new URL(location.href);
  const fragment = new URLSearchParams(url.hash.slice(1));
  const token = fragment.get("token") ?? url.searchParams.get("token");
  if (token === null) return;
  sessionStorage.setItem(TOKEN_KEY, token);
  fragment.delete("token");
  url.searchParams.delete("token");
  url.hash = fragment.toString();
  history.replaceState(null, "", url);
}

export function keepToken(token) {
  sessionStorage.setItem(TOKEN_KEY, token);
}

/** GET /api/status. */
export function fetchStatus() {
  return request("api/status", {});
}

/** POST /api/offer: our session description for the box's. */
export function exchangeOffer(description, signal) {
  return request("api/offer", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ sdp: description.sdp, type: description.type }),
    signal,
  });
}

async function request(path, options) {
  const token = sessionStorage.getItem(TOKEN_KEY);
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable(location.origin);
  }
  const body = await response.text();
  const answer = parsed(body);
  if (!response.ok) throw refusal(response.status, answer?.error ?? "");
  // A proxy's sign-in page is a success that is not the box.
  if (answer === null) throw unreachable(location.origin);
  return answer;
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
