// The box now: calls against places, engines, memory. Asked again and again while it is looked at.

import { stageLabel } from "./cost.js";
import { child } from "./element.js";
import { showNavigation } from "./navigation.js";
import { cell, complain, duration, fetchJson, forgive, offerSignOut } from "./operator.js";

const EVERY_MS = 2000;
const BUDGETS_EVERY_MS = 10_000;
const KIB = 1024;
const LEVELS = { fine: "good", warned: "warn", spent: "bad" };

const $ = (id) => document.getElementById(id);

let before = null; // the last answer, for what happened since

async function follow() {
  try {
    if (!document.hidden) {
      const state = await fetchJson("api/box");
      show(state, before);
      before = state;
      forgive();
    }
  } catch (error) {
    complain(error);
  }
  setTimeout(follow, EVERY_MS);
}

function show(state, earlier) {
  const { machine } = state;
  $("machine").textContent =
    `Offhook ${state.version} on ${machine.cpu}, ${machine.cores} ${machine.cores === 1 ? "core" : "cores"}`;
  showCapacity(state, earlier);
  keepingFocus($("engines"), state.engines.map((engine) => engineRow(engine, state, earlier)));
  const { workers } = state;
  $("workers").textContent =
    `Turn-taking, recognition and synthesis share ${workers.workers} workers: ${workers.running} at work, ` +
    `${workers.waiting} of ${workers.limit} jobs waiting, busy ${percent(workers.load)} of the last seconds. ` +
    "The language model has a thread of its own.";
  showMemory(state.memory);
  $("fleet-card").hidden = !state.fleet.length;
  keepingFocus($("fleet"), state.fleet.map((worker) => workerRow(worker, state.pid)));
}

// -- calls

function showCapacity({ calls, machine, at_s: now }, earlier) {
  const full = calls.active >= calls.places;
  $("capacity-said").textContent = calls.takes_calls
    ? full ? "all places are taken; callers may wait" : "takes calls"
    : "takes no more calls now";
  const cpu = earlier
    ? (machine.process_cpu_s - earlier.machine.process_cpu_s) / (now - earlier.at_s) / machine.cores
    : null;
  tiles($("capacity"), [
    ["Calls under way", `${calls.active} of ${calls.places}`, "admission limit", calls.active / calls.places, full],
    ["Callers who hold the line", calls.waiting, `of ${calls.waiting_places} who may`, share(calls.waiting, calls.waiting_places)],
    ["Measured capacity", calls.measured_calls ?? "not measured", calls.measured_calls === null ? "" : "calls at once"],
    ["Calls at once on average", calls.mean_calls === null ? "too early to tell" : round(calls.mean_calls), calls.mean_calls === null ? "" : "since the start"],
    ["Processors", cpu === null ? "–" : percent(cpu), "of all cores, by this process", cpu],
  ]);
  prose($("capacity-why"), `The admission limit of ${calls.places} is ${calls.why}.`);
  $("capacity-warning").hidden = !calls.warning;
  prose($("capacity-warning"), calls.warning ?? "");
}

/** A sentence whose commands and keys stand between backticks. */
function prose(element, text) {
  element.replaceChildren();
  for (const [at, part] of text.split("`").entries()) {
    if (at % 2) child(element, "code").textContent = part;
    else element.append(part);
  }
}

// -- engines

function engineRow(engine, state, earlier) {
  const row = document.createElement("tr");
  row.dataset.stage = engine.stage;
  const name = child(row, "th", "nowrap");
  name.scope = "row";
  name.textContent = stageLabel(engine.stage);
  const model = cell(row, engine.model);
  if (engine.tokens !== undefined) {
    child(model, "small").textContent =
      `${engine.open} of ${engine.places} conversations open; cache ${percent(share(engine.cells_used, engine.cells))} full`;
  }
  const device = cell(row, "", "nowrap");
  child(device, "span", "tag").textContent = engine.device;
  if (engine.device === "cpu") {
    child(device, "small").textContent = `${engine.threads} ${engine.threads === 1 ? "thread" : "threads"}`;
  }
  cell(row, percent(busy(engine, state, earlier)), "number");
  cell(row, engine.waiting ?? "–", "number");
  cell(row, engine.batch ? engine.batch.toFixed(2) : "–", "number");
  cell(row, engine.runs?.toLocaleString("en") ?? "–", "number");
  cell(row, duration(engine.busy_s), "number");
  const waits = engine.mean_wait_ms ?? null;
  cell(row, waits === null ? "–" : `${waits.toFixed(1)} / ${engine.longest_wait_ms.toFixed(0)} ms`, "number");
  const left = [engine.refused, engine.dropped, engine.cancelled];
  cell(row, left.includes(undefined) ? "–" : left.join(", "), "number");
  cell(row, bytes(engine.weights_bytes), "number");
  return row;
}

/** Share of the time between two answers, 0 to 1; the engine's own word where it has one. */
export function busy(engine, state, earlier) {
  if (engine.load !== null && engine.load !== undefined) return engine.load;
  const was = earlier?.engines.find((each) => each.stage === engine.stage);
  if (!was || engine.busy_s === null || state.at_s <= earlier.at_s) return null;
  const lanes = state.workers.workers;
  return Math.min(1, (engine.busy_s - was.busy_s) / (state.at_s - earlier.at_s) / lanes);
}

// -- workers

function workerRow(worker, own) {
  const row = document.createElement("tr");
  const name = child(row, "th");
  name.scope = "row";
  name.textContent = worker.pid === own ? `${worker.worker}: this one` : worker.worker;
  const good = worker.state === "serving" || worker.state === "reserve";
  child(cell(row, ""), "span", `tag ${good ? "good" : "warn"}`).textContent = worker.state;
  cell(row, worker.calls, "number");
  cell(row, duration(worker.for_s), "number");
  cell(row, worker.starts, "number");
  cell(row, worker.pid ?? "–");
  cell(row, worker.last_exit ?? "–");
  return row;
}

// -- memory

function showMemory(memory) {
  const used = memory.total_bytes - memory.available_bytes;
  tiles($("memory"), [
    ["This process", bytes(memory.process_bytes), `most so far ${bytes(memory.peak_bytes)}`, memory.process_bytes / memory.total_bytes],
    ["The machine", bytes(used), `of ${bytes(memory.total_bytes)} in use`, used / memory.total_bytes, used / memory.total_bytes > 0.95],
    ...memory.gpus.map((gpu) => [gpu.name, bytes(gpu.used_bytes), `of ${bytes(gpu.total_bytes)}; busy ${percent(gpu.busy)}`, gpu.used_bytes / gpu.total_bytes]),
    ...(memory.gpus.length ? [] : [["GPU", "none", "all work is the processor’s"]]),
  ]);
}

// -- budgets

async function followBudgets() {
  try {
    if (!document.hidden) {
      const { budgets } = await fetchJson("api/budgets");
      $("budgets-card").hidden = !budgets.length;
      keepingFocus($("budgets"), budgets.map(budgetRow));
    }
  } catch (error) {
    complain(error);
  }
  setTimeout(followBudgets, BUDGETS_EVERY_MS);
}

function budgetRow(budget) {
  const row = document.createElement("tr");
  const name = child(row, "th");
  name.scope = "row";
  name.textContent = budget.budget;
  cell(row, budget.subject || (budget.per === "box" ? "the box" : "nobody in particular"));
  cell(row, budget.period);
  cell(row, `${quantity(budget.spent)} ${budget.unit}`, "number");
  cell(row, `${quantity(budget.limit)} ${budget.unit}`, "number");
  const tag = child(cell(row, ""), "span", `tag ${LEVELS[budget.state] ?? ""}`);
  tag.textContent = `${budget.state}: ${percent(budget.share)}`;
  return row;
}

function quantity(text) {
  const digits = Number(text) >= 100 ? 0 : Number(text) >= 1 ? 2 : 6;
  return Number(text).toLocaleString("en", { maximumFractionDigits: digits });
}

// -- shared

/** `entries`: name, figure, note, share (0 to 1; undefined: no gauge), whether it is too much. */
function tiles(list, entries) {
  list.replaceChildren(
    ...entries.map(([name, value, note, part, isFull]) => {
      const tile = document.createElement("div");
      child(tile, "dt").textContent = name;
      const figure = child(tile, "dd");
      figure.textContent = value;
      if (note) child(figure, "small").textContent = ` ${note}`;
      if (part !== undefined && part !== null) {
        const gauge = child(figure, "div", `gauge ${isFull ? "full" : ""}`);
        gauge.setAttribute("aria-hidden", "true");
        child(gauge, "span").style.setProperty("--span", Math.min(1, part));
      }
      return tile;
    }),
  );
}

/** New rows in place of the old; nothing where nothing changed, so that a selection stays. */
function keepingFocus(body, rows) {
  const same = rows.length === body.rows.length && rows.every((row, at) => row.isEqualNode(body.rows[at]));
  if (!same) body.replaceChildren(...rows);
}

function share(part, whole) {
  return whole ? part / whole : undefined;
}

/** "42%", "–" where it is not known. */
export function percent(part) {
  if (part === null || part === undefined) return "–";
  const hundredths = part * 100;
  return `${hundredths > 0 && hundredths < 1 ? "< 1" : Math.round(hundredths)}%`;
}

/** "1.4 GiB", "87 MiB". */
export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const at = count ? Math.min(units.length - 1, Math.floor(Math.log(count) / Math.log(KIB))) : 0;
  const size = count / KIB ** at;
  return `${size < 10 && at ? size.toFixed(1) : Math.round(size)} ${units[at]}`;
}

function round(number) {
  return Number(number.toPrecision(2));
}

showNavigation();
offerSignOut();
follow();
followBudgets();
