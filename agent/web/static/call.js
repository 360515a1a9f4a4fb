// One call: at a glance, its sound, its words, its milliseconds, its cents, its events.

import { bills, showOwned, showRented } from "./call_costs.js";
import { cheapest, ending, outcomeTag } from "./call_summary.js";
import { child } from "./element.js";
import { showNavigation } from "./navigation.js";
import { cell, complain, duration, fetchJson, forgive, moment, offerSignOut, usd } from "./operator.js";
import { formatMs, median, Waterfall } from "./waterfall.js";
import { clock, fillTable, Waveform } from "./waveform.js";

const LIVE_EVERY_MS = 2000;
const BEFORE_S = 4; // a turn is played from its question on, whose beginning nobody recorded
const STRETCHES = 900;
const FACTS = [
  ["Caller", (call) => call.caller || "withheld"],
  ["Dialled", (call) => call.dialled],
  ["Door", (call) => call.door],
  ["Direction", (call) => call.direction],
  ["Trunk", (call) => call.trunk],
  ["Agent", (call) => call.agent],
  ["Profile", (call) => call.profile],
  ["Workflow", (call) => call.workflow],
  ["Tenant", (call) => call.tenant],
  ["Devices", (call) => Object.entries(call.devices).map((pair) => pair.join(": ")).join(", ")],
  ["Call", (call) => call.call_id],
];

const $ = (id) => document.getElementById(id);

const callId = new URLSearchParams(location.search).get("id") ?? "";
const waveform = new Waveform($("waveform"), $("player"));
const waterfall = new Waterfall($("turns"), $("waterfall-empty"), {
  latest: $("waterfall-latest"),
  median: $("waterfall-median"),
  count: $("waterfall-count"),
});

let shownTurns = ""; // what the words and the waterfall show
let soundShown = false;

async function show() {
  const told = await fetchJson(`api/records/calls/${encodeURIComponent(callId)}`);
  forgive();
  $("call").hidden = false;
  showGlance(told);
  showTurns(told);
  showCosts(told);
  showEvents(told);
  showUsage(told.call.usage);
  await showSound(told);
  return told.live;
}

/** A call under way is asked for again and again; one that is over stays as it is. */
async function follow() {
  let live = true;
  try {
    if (!document.hidden) live = await show();
  } catch (error) {
    complain(error);
    live = !$("call").hidden;
  }
  if (live) setTimeout(follow, LIVE_EVERY_MS);
}

function showGlance({ call, live, cost, now }) {
  const name = call.caller || "a withheld number";
  $("title").textContent = call.direction === "outbound" ? `Call to ${call.dialled}` : `Call from ${name}`;
  document.title = `${live ? "● " : ""}${$("title").textContent} · Offhook`;
  $("began").textContent = moment(call.started_at);
  const soFarS = live ? (Date.parse(now) - Date.parse(call.started_at)) / 1000 : null;
  const knownS = call.cause === null ? null : call.usage.call_s;
  $("length").textContent = duration(soFarS ?? knownS);
  const [text, kind] = ending({ ...call, live });
  $("state").textContent = text;
  $("state").className = `tag ${kind}`;
  $("outcome").replaceChildren(call.outcome ? outcomeTag(call.outcome) : "not set");
  if (call.outcome_value_usd !== null) {
    $("outcome").append(" ");
    child($("outcome"), "small").textContent = `worth ${usd(call.outcome_value_usd)}`;
  }
  $("median").textContent = formatMs(median(call.latencies_ms));
  const rentedUsd = cost
    ? Object.fromEntries(cost.rented.map((side) => [side.stack, side.total_usd]))
    : call.rented_usd;
  const best = cheapest(rentedUsd);
  money($("owned"), cost ? cost.owned.total_usd : call.owned_usd, cost?.owned.view ?? "");
  money($("rented"), best?.usd ?? null, best?.stack ?? "");
  const known = FACTS.map(([label, of]) => [label, of(call)]).filter(([, value]) => value);
  $("facts").replaceChildren(
    ...known.map(([label, value]) => {
      const fact = document.createElement("div");
      child(fact, "dt").textContent = label;
      child(fact, "dd", label === "Call" ? "id" : "").textContent = value;
      return fact;
    }),
  );
}

function money(element, amount, note) {
  element.textContent = usd(amount);
  element.classList.toggle("unknown", amount === null);
  element.append(" ");
  if (note) child(element, "small").textContent = note;
}

// -- sound

async function showSound({ call, live, recording, turns }) {
  if (soundShown) return;
  const reason = noSound(recording, live);
  $("sound-empty").hidden = reason === "";
  $("sound-empty").textContent = reason;
  if (reason) return;
  soundShown = true;
  const at = `api/records/calls/${encodeURIComponent(callId)}`;
  const peaks = await fetchJson(`${at}/peaks?stretches=${STRETCHES}`);
  $("sound").hidden = false;
  $("sound-hint").textContent = "the caller above the line, the agent below; click to move";
  const marksS = turns.map((turn) => soundAt(turn, call, recording)).filter((s) => s !== null);
  waveform.show(peaks, marksS);
  fillTable($("waveform-rows"), peaks);
  $("player").src = `${at}/recording`;
  $("download").href = `${at}/recording?download=true`;
  for (const button of document.querySelectorAll(".said .at")) button.disabled = false;
}

function noSound(recording, live) {
  if (!recording) return "This call was not recorded: `audio` in [records] names a folder for the sound of calls.";
  if (live) return "This call is being recorded; it can be heard once it is over.";
  return recording.error ? `Its sound cannot be played: ${recording.error}.` : "";
}

/** When a turn's question ended, in seconds of the call; null where that is not known. */
function callAt(turn, call) {
  return turn.at && (Date.parse(turn.at) - Date.parse(call.started_at)) / 1000;
}

/** The same in seconds of the recording. */
function soundAt(turn, call, recording) {
  const at = callAt(turn, call);
  return at === null || !recording || recording.error ? null : at - recording.starts_s;
}

function playFrom(seconds) {
  $("player").currentTime = Math.max(0, seconds);
  $("player").play().catch(complain);
}

// -- turns

function showTurns({ call, turns, recording }) {
  const now = JSON.stringify([turns, recording]);
  if (now === shownTurns) return;
  shownTurns = now;
  $("words").replaceChildren(...turns.flatMap((turn) => said(turn, call, recording)));
  $("words-empty").hidden = turns.length > 0;
  waterfall.begin();
  for (const turn of turns) waterfall.turn(turn);
}

function said(turn, call, recording) {
  const startS = soundAt(turn, call, recording);
  const entries = [];
  if (turn.heard) entries.push(entry("caller", "Caller", turn.heard, turn, call, startS));
  if (turn.answer || turn.interrupted) {
    const item = entry("agent", call.agent, turn.answer, turn, call, startS);
    if (turn.interrupted) {
      const body = item.querySelector(".entry-body");
      body.append(" ");
      child(body, "span", "entry-mark").textContent = turn.answer
        ? "interrupted"
        : "interrupted before a word";
    }
    entries.push(item);
  }
  return entries;
}

function entry(side, name, text, turn, call, startS) {
  const item = document.createElement("li");
  item.className = `entry ${side}`;
  item.dataset.testid = `said-${side}-${turn.turn}`;
  const head = child(item, "p", "entry-head");
  child(head, "span", "entry-who").textContent = name;
  const facts = side === "agent" ? [formatMs(turn.total_ms), usd(turn.owned_usd)] : [];
  child(head, "span", "entry-meta").textContent = facts.filter((f) => f !== "–").join(" · ");
  if (turn.at !== null) {
    // The question leads up to the mark; the answer follows it.
    const afterS = side === "agent" ? (turn.at_ms.first_packet ?? 0) / 1000 : 0;
    const at = child(head, "button", "at");
    at.type = "button";
    at.textContent = clock(callAt(turn, call) + afterS);
    at.disabled = startS === null || !soundShown;
    at.setAttribute("aria-label", `Play from ${at.textContent}, ${name}`);
    at.addEventListener("click", () => playFrom(startS + afterS - (side === "agent" ? 0 : BEFORE_S)));
  }
  child(child(item, "p", "entry-body"), "span", "entry-text").textContent = text;
  return item;
}

// -- costs, events, usage

function showCosts({ call, live, cost }) {
  const { owned, rented } = bills(call, cost);
  const callS = cost ? cost.call_s : call.usage.call_s;
  $("cost-state").textContent = live ? "so far" : "as it was reckoned when the call ended";
  $("owned-empty").hidden = owned.length > 0;
  $("owned-scroll").hidden = owned.length === 0;
  $("rented-empty").hidden = rented.length > 0;
  $("rented-scroll").hidden = rented.length === 0;
  showOwned({ head: $("owned-head"), body: $("owned-lines"), foot: $("owned-foot") }, owned, callS);
  showRented({ head: $("rented-head"), body: $("rented-lines") }, rented, callS);
}

function showEvents({ call, events }) {
  $("events-empty").hidden = events.length > 0;
  $("events-scroll").hidden = events.length === 0;
  $("events").replaceChildren(
    ...events.map((event) => {
      const row = document.createElement("tr");
      const atS = (Date.parse(event.at) - Date.parse(call.started_at)) / 1000;
      const at = cell(row, clock(atS), "nowrap");
      at.title = moment(event.at);
      child(cell(row, ""), "span", `tag ${event.kind === "error" ? "bad" : ""}`).textContent =
        event.kind;
      const details = Object.entries(event.detail).filter(([, value]) => value !== null);
      cell(row, details.map(([name, value]) => `${name.replaceAll("_", " ")}: ${plain(value)}`).join("; "));
      return row;
    }),
  );
}

function plain(value) {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const UNITS = { s: "s", j: "J", bytes: "bytes" };
const SHORT = {
  vad: "voice detection",
  stt: "speech recognition",
  llm: "language model",
  tts: "speech synthesis",
  cpu: "CPU",
  gpu: "GPU",
};

/** "stt_busy_s", 1.25 as ["Speech recognition busy", "1.25 s"]. */
function measure(name, amount) {
  const parts = name.split("_");
  const unit = UNITS[parts.at(-1)];
  const words = (unit ? parts.slice(0, -1) : parts).map((part) => SHORT[part] ?? part).join(" ");
  const digits = Number.isInteger(amount) ? 0 : 3;
  const number = Number(amount).toLocaleString("en", { maximumFractionDigits: digits });
  return [words.replace(/^./, (c) => c.toUpperCase()), unit ? `${number} ${unit}` : number];
}

function showUsage(usage) {
  const used = Object.entries(usage).filter(([, amount]) => amount !== 0);
  $("usage-empty").hidden = used.length > 0;
  $("usage").hidden = used.length === 0;
  $("usage").replaceChildren(
    ...used.map(([name, amount]) => {
      const [label, text] = measure(name, amount);
      const fact = document.createElement("div");
      child(fact, "dt").textContent = label;
      child(fact, "dd").textContent = text;
      return fact;
    }),
  );
}

showNavigation();
offerSignOut();
follow();
