// The list of calls: those under way, and those that are over, searched and filtered.

import { query } from "./call_search.js";
import { cheapest, ending, outcomeTag } from "./call_summary.js";
import { child } from "./element.js";
import { showNavigation } from "./navigation.js";
import { cell, complain, duration, fetchJson, forgive, moment, offerSignOut, usd } from "./operator.js";
import { formatMs } from "./waterfall.js";

const LIVE_EVERY_MS = 2000;
const SUGGESTED = ["caller", "profile", "workflow", "outcome", "trunk", "tenant", "door"];

const $ = (id) => document.getElementById(id);

let next = null; // where the list goes on
let asking = null; // the search under way

// -- calls under way

async function followLive() {
  try {
    if (!document.hidden) showLive(await fetchJson("api/records/live"));
    if ($("error").dataset.from === "live") forgive();
  } catch (error) {
    complain(error);
    $("error").dataset.from = "live";
  }
  setTimeout(followLive, LIVE_EVERY_MS);
}

function showLive({ calls, places, now }) {
  const some = calls.length > 0;
  $("live-empty").hidden = some;
  $("live-scroll").hidden = !some;
  setText($("live-count"), `${calls.length} of ${places} places taken`);
  $("box-clock").textContent = `Box’s clock: ${moment(now)}`;
  const focused = document.activeElement?.closest?.("#live tr")?.dataset.call;
  $("live").replaceChildren(...calls.map(liveRow));
  if (focused) $("live").querySelector(`[data-call="${CSS.escape(focused)}"] a`)?.focus();
}

function liveRow(call) {
  const row = document.createElement("tr");
  row.dataset.call = call.call_id;
  const who = child(row, "th", "who");
  who.scope = "row";
  link(who, call);
  child(who, "small").textContent = route(call);
  agentCell(row, call);
  child(cell(row, ""), "span", `tag ${call.doing === "speaking" ? "good" : ""}`).textContent =
    call.doing;
  cell(row, duration(call.call_s), "number");
  cell(row, call.turns, "number minor");
  const words = cell(row, "", "latest-words");
  if (call.heard) child(words, "span", "heard").textContent = call.heard;
  if (call.answer) child(words, "span", "answer").textContent = call.answer;
  cell(row, formatMs(call.latency_ms), "number");
  money(row, call.owned_usd);
  rented(row, call.rented_usd);
  return row;
}

// -- calls that are over

async function search({ more = false } = {}) {
  asking?.abort();
  const mine = (asking = new AbortController());
  const asked = query(new FormData($("filters")));
  if (more) asked.set("before", next);
  setText($("calls-count"), "Searching …");
  try {
    const answer = await fetchJson(`api/records/calls?${asked}`, mine);
    forgive();
    show(answer, more);
  } catch (error) {
    if (error.name === "AbortError") return;
    setText($("calls-count"), "");
    complain(error);
    $("error").dataset.from = "search";
  }
}

function show(answer, more) {
  next = answer.next;
  const rows = answer.calls.map(callRow);
  if (more) {
    $("calls").append(...rows);
    rows[0]?.querySelector("a").focus();
  } else {
    $("calls").replaceChildren(...rows);
  }
  const count = $("calls").rows.length;
  const filtered = [...query(new FormData($("filters")))].length > 0;
  $("calls-scroll").hidden = count === 0;
  $("calls-empty").hidden = count > 0;
  $("calls-empty").textContent = filtered
    ? "No call is like that. Clear the search to see all."
    : "No call is recorded yet. Each call appears here as soon as it begins.";
  $("calls-failing").hidden = !answer.failing;
  $("more").hidden = next === null;
  const calls = `${count} ${count === 1 ? "call" : "calls"}`;
  setText($("calls-count"), next === null ? `${calls}, all there are` : `the latest ${calls}`);
  suggest(answer.calls);
}

function callRow(call) {
  const row = document.createElement("tr");
  row.dataset.call = call.call_id;
  const began = child(row, "th", "nowrap");
  began.scope = "row";
  const to = child(began, "a");
  to.href = address(call);
  to.textContent = shortly(call.started_at);
  to.title = moment(call.started_at);
  const who = cell(row, "", "who");
  child(who, "span").textContent = call.caller || "withheld";
  child(who, "small").textContent = route(call);
  agentCell(row, call);
  const outcome = cell(row, call.outcome ? "" : "–");
  if (call.outcome) outcome.append(outcomeTag(call.outcome));
  const [text, kind] = ending(call);
  const ended = cell(row, kind ? "" : text, "minor");
  if (kind) child(ended, "span", `tag ${kind}`).textContent = text;
  cell(row, call.cause === null ? "–" : duration(call.call_s), "number");
  cell(row, call.turns, "number minor");
  cell(row, formatMs(call.latency_p50_ms), "number minor");
  if (call.cause === null) {
    // What it costs is reckoned when it ends; that is not an unknown price.
    cell(row, "–", "number");
    cell(row, "–", "number");
  } else {
    money(row, call.owned_usd);
    rented(row, call.rented_usd);
  }
  return row;
}

/** The year goes without saying while it lasts. */
function shortly(iso) {
  const at = new Date(iso);
  const year = at.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  const day = { year, month: "short", day: "numeric" };
  return at.toLocaleString(undefined, { ...day, hour: "numeric", minute: "2-digit" });
}

function agentCell(row, call) {
  const agent = cell(row, call.profile || call.agent, "minor");
  if (call.workflow) child(agent, "small").textContent = call.workflow;
}

function link(parent, call) {
  const to = child(parent, "a");
  to.href = address(call);
  to.textContent = call.caller || "withheld";
}

function address(call) {
  return `call.html?id=${encodeURIComponent(call.call_id)}`;
}

/** "sip by telnyx"; of a call that the box placed, "to +15551234567 by telnyx". */
function route(call) {
  const way = call.direction === "outbound" ? `to ${call.dialled}` : call.door;
  return [way, call.trunk && `by ${call.trunk}`].filter(Boolean).join(" ");
}

function money(row, amount) {
  cell(row, usd(amount), `number ${amount === null ? "unknown" : ""}`);
}

function rented(row, rentedUsd) {
  const best = cheapest(rentedUsd);
  const shown = cell(row, usd(best?.usd ?? null), `number ${best ? "" : "unknown"}`);
  if (best) child(shown, "small").textContent = best.stack;
}

/** What was seen so far, to choose from. */
function suggest(calls) {
  for (const name of SUGGESTED) {
    const list = $(`known-${name}`);
    const known = new Set([...list.children].map((option) => option.value));
    for (const call of calls) known.add(call[name]);
    known.delete("");
    list.replaceChildren(...[...known].sort().map((value) => new Option(value, value)));
  }
}

/** A status is read aloud when it changes, and only then. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// -- the address holds the search, so that it can be kept, sent and gone back to

function remember() {
  const fields = [...new FormData($("filters"))].filter(([, value]) => value.trim());
  const search = new URLSearchParams(fields).toString();
  history.pushState(null, "", search ? `?${search}` : location.pathname);
}

function recall() {
  const wanted = new URLSearchParams(location.search);
  for (const field of $("filters").elements) {
    if (field.name) field.value = wanted.get(field.name) ?? "";
  }
}

showNavigation();
offerSignOut();
for (const name of SUGGESTED) {
  const list = child($("filters"), "datalist");
  list.id = `known-${name}`;
}
recall();
$("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  remember();
  search();
});
$("filters").addEventListener("reset", () => {
  // The fields are empty only once the event is over.
  setTimeout(() => {
    for (const field of $("filters").elements) if (field.name) field.value = "";
    remember();
    search();
  });
});
addEventListener("popstate", () => {
  recall();
  search();
});
$("more").addEventListener("click", () => search({ more: true }));
search();
followLive();
