// Where each turn's milliseconds went: from the end of the caller's speech to the answer's
// first packet on the wire.

import { child } from "./element.js";

export const STEPS = [
  { name: "end_of_turn", label: "End of turn", says: "the caller is judged to have finished" },
  { name: "transcript", label: "Transcript", says: "the recogniser has the words" },
  { name: "first_token", label: "First token", says: "the language model starts" },
  { name: "first_clause", label: "First clause", says: "enough of the answer to speak" },
  { name: "first_audio", label: "First audio", says: "the synthesiser's first samples" },
  { name: "first_packet", label: "First packet", says: "the answer is on the wire" },
];

/** "812 ms", or "1.24 s" from ten seconds on, where milliseconds say nothing. */
export function formatMs(ms) {
  if (ms === null || ms === undefined) return "–";
  return ms < 10_000 ? `${Math.round(ms).toLocaleString("en")} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** The middle value; null of nothing. */
export function median(values) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * The known steps in order: `{name, label, startMs, ms, atMs, early}`. A step that was ready
 * before the one above it was reached took no time of its own (`early`).
 */
export function layOut(stagesMs, atMs) {
  let reached = 0;
  const placed = [];
  for (const step of STEPS) {
    if (!(step.name in stagesMs)) continue;
    const ms = stagesMs[step.name];
    const at = atMs?.[step.name] ?? reached + ms;
    placed.push({ ...step, startMs: reached, ms, atMs: at, early: at < reached });
    reached += ms;
  }
  return placed;
}

/** Round axis: `{endMs, ticks}` with three to six ticks, the last beyond `totalMs` or at it. */
export function axis(totalMs) {
  const lengthMs = Math.max(totalMs, 1);
  const rough = lengthMs / 5;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * magnitude).find((size) => size >= rough);
  const count = Math.ceil(lengthMs / step - 1e-9);
  return { endMs: count * step, ticks: Array.from({ length: count + 1 }, (_, n) => n * step) };
}

export class Waterfall {
  #list;
  #empty;
  #summary;
  #rows = new Map();
  #latest = null;

  /** `summary`: elements `{latest, median, count}` for the figures over the call. */
  constructor(list, empty, summary) {
    this.#list = list;
    this.#empty = empty;
    this.#summary = summary;
  }

  begin() {
    this.#rows.clear();
    this.#latest = null;
    this.#list.replaceChildren();
    this.#empty.hidden = false;
    this.#summarise();
  }

  /** One `turn` event. The newest is unfolded; an older one that it unfolded itself is folded. */
  turn(event) {
    const steps = layOut(event.stages_ms, event.at_ms);
    const row = { turn: event.turn, totalMs: event.total_ms, steps };
    row.element = this.#draw(event, row);
    this.#rows.get(event.turn)?.element.remove();
    this.#rows.set(event.turn, row);
    this.#latest?.element.removeAttribute("open");
    this.#latest = row;
    row.element.open = true;
    this.#list.prepend(row.element);
    this.#empty.hidden = true;
    this.#summarise();
    this.#rescale();
  }

  #draw(event, row) {
    const details = document.createElement("details");
    details.className = "turn";
    details.dataset.testid = `waterfall-${event.turn}`;
    details.dataset.totalMs = event.total_ms ?? "";
    const summary = child(details, "summary", "turn-row");
    const name = event.turn === 0 ? "Greeting" : `Turn ${event.turn}`;
    child(summary, "span", "turn-name").textContent = name;
    const heard = child(summary, "span", "turn-heard");
    heard.textContent = event.heard;
    const mini = child(summary, "span", "turn-mini");
    mini.setAttribute("aria-hidden", "true");
    for (const step of row.steps) {
      if (step.ms > 0) place(child(mini, "span", `bar ${step.name}`), step, 1).title = step.label;
    }
    const total = child(summary, "span", "turn-total");
    total.textContent = totalText(event);
    details.append(table(name, row.steps, event));
    return details;
  }

  #summarise() {
    const totals = [...this.#rows.values()].map((row) => row.totalMs).filter((ms) => ms !== null);
    const { latest, median: middle, count } = this.#summary;
    latest.textContent = formatMs(this.#latest?.totalMs);
    middle.textContent = formatMs(median(totals));
    count.textContent = `over ${totals.length} ${totals.length === 1 ? "answer" : "answers"}`;
  }

  /** Compact rows share one axis, so that turns compare at a glance. */
  #rescale() {
    const rows = [...this.#rows.values()];
    const endMs = Math.max(1, ...rows.map((row) => endOf(row.steps)));
    for (const row of rows) {
      const bars = row.element.querySelectorAll(".turn-mini .bar");
      row.steps.filter((step) => step.ms > 0).forEach((step, n) => place(bars[n], step, endMs));
    }
  }
}

function totalText(event) {
  if (event.total_ms !== null) return formatMs(event.total_ms);
  return event.interrupted ? "cut short" : "–";
}

function endOf(steps) {
  const last = steps.at(-1);
  return last ? last.startMs + last.ms : 0;
}

function place(bar, step, endMs) {
  bar.style.setProperty("--from", step.startMs / endMs);
  bar.style.setProperty("--span", step.ms / endMs);
  return bar;
}

/** The chart is the table: the bars stand in its second column, the numbers beside them. */
function table(name, steps, event) {
  const from = event.turn === 0 ? "the first step" : "the end of speech";
  const table = document.createElement("table");
  table.className = "chart";
  child(table, "caption", "unseen").textContent =
    `${name}: what each step added, and when it was reached after ${from}`;
  const { endMs, ticks } = axis(endOf(steps));
  const head = child(child(table, "thead"), "tr");
  heading(head, "Step", "chart-step");
  const scale = heading(head, "", "chart-axis");
  child(scale, "span", "unseen").textContent = "Timeline";
  const marks = child(scale, "span", "lane");
  marks.setAttribute("aria-hidden", "true");
  for (const tick of ticks) {
    const mark = child(marks, "span", "tick");
    mark.style.setProperty("--at", tick / endMs);
    mark.textContent = tick.toLocaleString("en");
  }
  heading(head, "Added", "chart-ms");
  heading(head, "At", "chart-ms chart-at");
  const body = child(table, "tbody");
  for (const step of steps) body.append(stepRow(step, endMs, ticks));
  return table;
}

function stepRow(step, endMs, ticks) {
  const row = document.createElement("tr");
  const label = heading(row, step.label, "chart-step");
  label.scope = "row";
  label.title = step.says;
  const lane = child(child(row, "td", "chart-lane"), "span", "lane");
  for (const tick of ticks) {
    child(lane, "span", "grid").style.setProperty("--at", tick / endMs);
  }
  const bar = place(child(lane, "span", `bar ${step.name}`), step, endMs);
  bar.dataset.testid = `step-${step.name}`;
  bar.dataset.ms = step.ms;
  bar.dataset.startMs = step.startMs;
  if (step.early) {
    const ready = child(lane, "span", `ready ${step.name}`);
    ready.style.setProperty("--at", Math.max(0, step.atMs) / endMs);
    ready.title = "was ready before the step above it";
  }
  child(row, "td", "chart-ms").textContent = step.early ? "ready" : formatMs(step.ms);
  child(row, "td", "chart-ms chart-at").textContent = formatMs(step.atMs);
  return row;
}

function heading(row, text, className) {
  const cell = child(row, "th", className);
  cell.scope = "col";
  cell.textContent = text;
  return cell;
}
