// Wires the page: one call at a time, from Start to whatever ends it.

import { adoptToken, fetchStatus, keepToken } from "./box.js";
import { Connection } from "./connection.js";
import { Cost } from "./cost.js";
import { Fault } from "./faults.js";
import { Microphone } from "./microphone.js";
import { links, wireTheme } from "./navigation.js";
import { Transcript } from "./transcript.js";
import { Waterfall } from "./waterfall.js";

const CAUSES = {
  "caller hung up": "you hung up",
  "caller vanished": "the box no longer heard from this page",
  silence: "nobody spoke for too long",
  "time limit": "the time limit was reached",
  "box stopped": "the box was stopped",
  failed: "something failed in the box; its log says what",
};

const STATES = {
  idle: "Ready",
  asking: "Asking for the microphone",
  connecting: "Connecting",
  listening: "Listening",
  "caller-speaking": "You are speaking",
  ended: "Call ended",
  error: "No call",
};

const $ = (id) => document.getElementById(id);

const microphone = new Microphone($("mic"), $("level"));
const transcript = new Transcript($("transcript"), $("announcer"), $("transcript-empty"));
const waterfall = new Waterfall($("turns"), $("waterfall-empty"), {
  latest: $("latest"),
  median: $("median"),
  count: $("median-count"),
});
const cost = new Cost({
  panel: $("cost-panel"),
  owned: $("cost-owned"),
  basis: $("cost-basis"),
  verdict: $("cost-verdict"),
  rented: $("cost-rented"),
  asOf: $("cost-as-of"),
  empty: $("cost-empty"),
});

let connection = null; // from Start until the call is over
let speaking = { caller: false, agent: false };
let startedAt = 0;
let clock = 0;

// -- what the page says about itself

function show(state, detail = "") {
  const text = STATES[state] ?? `${$("agent-name").textContent} is speaking`;
  $("status").dataset.state = state;
  $("status-text").textContent = detail ? `${text}: ${detail}` : text;
  const calling = !["idle", "ended", "error"].includes(state);
  swapButtons(calling);
  document.title = calling ? "● Offhook" : "Offhook";
}

/** Focus stays on the one button that is there. */
function swapButtons(calling) {
  const [shown, gone] = calling ? [$("stop"), $("start")] : [$("start"), $("stop")];
  const focused = document.activeElement === gone;
  shown.hidden = false;
  gone.hidden = true;
  if (focused) shown.focus();
}

/** For assistive technology: the call's course, without every change of speaker. */
function announce(text) {
  $("spoken-status").textContent = text;
}

function complain(what, remedy = "") {
  $("error-what").textContent = what;
  $("error-remedy").textContent = remedy;
  $("error").hidden = false;
}

function forgive() {
  $("error").hidden = true;
  $("token-form").hidden = true;
}

function askForToken() {
  $("token-form").hidden = false;
  $("token").focus();
}

function showSpeaking() {
  $("caller-side").classList.toggle("on", speaking.caller);
  $("agent-side").classList.toggle("on", speaking.agent);
  $("caller-says").textContent = speaking.caller ? "speaking" : "quiet";
  $("agent-says").textContent = speaking.agent ? "speaking" : "quiet";
  // Both at once is a barge-in: the caller has the floor.
  if (speaking.caller) show("caller-speaking");
  else show(speaking.agent ? "agent-speaking" : "listening");
}

function showClock() {
  const seconds = Math.floor((performance.now() - startedAt) / 1000);
  const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
  $("clock").textContent = `${minutes}:${String(rest).padStart(2, "0")}`;
}

function showAgent(name) {
  $("agent-name").textContent = name;
  $("agent-side-name").textContent = name;
}

function showParts(models, devices) {
  for (const stage of ["stt", "llm", "tts"]) {
    if (!models?.[stage]) continue;
    $(`model-${stage}`).textContent = models[stage];
    $(`device-${stage}`).textContent = devices?.[stage] ?? "";
  }
}

// -- a call

async function start() {
  if (connection) return;
  const call = new Connection();
  connection = call;
  call.addEventListener("media", (event) => play(event.detail));
  call.addEventListener("message", (event) => receive(event.detail));
  call.addEventListener("closed", (event) => connection === call && ended(event.detail));
  forgive();
  begin();
  try {
    show("asking");
    announce(STATES.asking);
    const stream = await microphone.open();
    if (connection !== call) return microphone.close(stream);
    show("connecting");
    announce(STATES.connecting);
    await call.open(stream);
    if (connection === call) connected();
  } catch (error) {
    if (connection === call) failed(error);
  }
}

function begin() {
  transcript.begin($("agent-name").textContent);
  waterfall.begin();
  cost.begin();
  speaking = { caller: false, agent: false };
  $("call-id").textContent = "–";
  $("clock").textContent = "";
}

function connected() {
  startedAt = performance.now();
  clock = setInterval(showClock, 1000);
  showClock();
  showSpeaking();
  announce("Connected. Speak when you like.");
}

function stop() {
  connection?.hangUp();
}

function release() {
  const call = connection;
  connection = null;
  clearInterval(clock);
  microphone.close();
  $("remote").srcObject = null;
  speaking = { caller: false, agent: false };
  showSpeaking();
  transcript.end();
  call?.close("");
}

function ended(cause) {
  release();
  const why = CAUSES[cause] ?? cause.replaceAll("_", " ");
  show("ended", why);
  announce(`Call ended: ${why}.`);
  showBox();
}

/** A call that never came about. Anything but a Fault is a defect of the page. */
function failed(error) {
  release();
  show("error");
  announce("");
  if (!(error instanceof Fault)) {
    complain(`The page failed: ${error.message}`, "Reload it. The browser's console says more.");
    throw error;
  }
  complain(error.message, error.remedy);
  if (error.name === "token-needed") askForToken();
}

async function play(stream) {
  const audio = $("remote");
  audio.srcObject = stream;
  try {
    await audio.play();
  } catch (error) {
    if (error.name === "AbortError") return; // the call ended first
    complain(`The browser did not play the agent's voice: ${error.message}`, "Allow sound here.");
  }
}

function receive(message) {
  RECEIVERS[message.type]?.(message);
}

/** docs/events.md; a newer box may send types that are not here, which are passed over. */
const RECEIVERS = {
  "call.started": (event) => {
    $("call-id").textContent = event.call_id;
    showAgent(event.agent);
    transcript.begin(event.agent);
    showParts(event.models, event.devices);
  },
  speaking: (event) => {
    speaking[event.who] = event.on;
    if ($("status").dataset.state !== "connecting") showSpeaking();
  },
  words: (event) => transcript.words(event.who, event.turn, event.text, event.final),
  interrupted: (event) => transcript.interrupted(event.turn),
  turn: (event) => {
    waterfall.turn(event);
    transcript.latency(event.turn, event.total_ms);
  },
  cost: (event) => cost.show(event),
  error: (event) => complain(event.message, "The box’s log says more."),
};

// -- the box and the page's own controls

async function showBox() {
  try {
    const status = await fetchStatus();
    showAgent(status.agent);
    showParts(status.models, status.devices);
    $("box-load").textContent = `${status.active_calls} of ${status.max_calls} calls`;
    $("version").textContent = status.version;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    $("box-load").textContent = "no answer";
    if (error.name === "token-needed") askForToken();
  }
}

$("start").addEventListener("click", start);
$("stop").addEventListener("click", stop);
$("error-close").addEventListener("click", () => ($("error").hidden = true));
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken($("token").value.trim());
  $("token").value = "";
  start();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.repeat) return;
  event.preventDefault();
  if (connection) stop();
  else start();
});
microphone.addEventListener("changed", async () => {
  try {
    const stream = await microphone.open();
    await connection?.replace(stream.getAudioTracks()[0]);
  } catch (error) {
    complain(error.message, error.remedy);
  }
});
microphone.addEventListener("lost", () => {
  complain("The microphone went away.", "Choose another one; the call goes on.");
});
// A closed tab must not leave the box waiting for the caller's silence to tell.
addEventListener("pagehide", () => connection?.close("the page was left"));

if (navigator.platform.startsWith("Mac")) {
  for (const key of document.querySelectorAll(".shortcut-modifier")) key.textContent = "⌘";
}
adoptToken(location, history);
document.querySelector(".brand").after(links("talk"));
wireTheme($("theme-toggle"));
show("idle");
microphone.list();
showBox();
