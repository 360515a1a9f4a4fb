// What the call cost on this box, beside what the same usage costs in rented parts.

import { child } from "./element.js";

const STAGES = {
  turn_taking: "Turn-taking",
  stt: "Speech recognition",
  llm: "Language model",
  tts: "Speech synthesis",
  idle: "Idle time",
  discarded: "Work thrown away",
  trunk: "Trunk",
  telephony: "Telephone line",
  platform: "Platform fee",
};

/** Two meaningful digits below a cent: a turn on one's own box costs that little. */
export function formatUsd(usd) {
  if (usd === null || usd === undefined) return "unknown";
  if (usd === 0) return "$0";
  if (usd < 1e-6) return "< $0.000001";
  if (usd >= 1) return `$${usd.toFixed(2)}`;
  const digits = Math.max(4, 1 - Math.floor(Math.log10(usd)));
  return `$${usd.toFixed(digits)}`;
}

/** What a minute of this call costs; null where the cost or the time is not known. */
export function perMinute(usd, callS) {
  return usd === null || usd === undefined || !(callS > 0) ? null : (usd / callS) * 60;
}

export function stageLabel(stage) {
  return STAGES[stage] ?? stage.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase());
}

export class Cost {
  #view;
  #owned;
  #views;
  #rented = new Map();

  /** `view`: elements `{panel, owned, basis, verdict, rented, asOf, empty}`. */
  constructor(view) {
    this.#view = view;
    this.begin();
  }

  begin() {
    this.#view.panel.hidden = true;
    this.#view.empty.hidden = false;
    this.#view.owned.replaceChildren();
    this.#view.rented.replaceChildren();
    this.#rented.clear();
    this.#owned = new Line("This box", "owned");
    this.#views = new ViewTable(this.#owned.element);
    this.#view.owned.append(this.#owned.element);
  }

  /** One `cost` event. Lines are updated in place: one that the reader unfolded stays so. */
  show(event) {
    const totals = [event.owned, ...event.rented].map((side) => side.total_usd ?? 0);
    const scaleUsd = Math.max(...totals);
    this.#owned.show(event.owned, event.call_s, scaleUsd);
    this.#owned.stages.hidden = this.#views.show(event.owned.views, event.call_s);
    this.#view.owned.dataset.usd = event.owned.total_usd ?? "";
    this.#view.basis.textContent = basis(event.owned);
    this.#view.verdict.textContent = verdict(event.owned, event.rented);
    const gone = new Set(this.#rented.keys());
    for (const side of event.rented) {
      gone.delete(side.stack);
      const line = this.#rented.get(side.stack) ?? new Line(side.stack, "rented");
      line.show(side, event.call_s, scaleUsd);
      if (!this.#rented.has(side.stack)) this.#add(side.stack, line);
    }
    for (const stack of gone) this.#remove(stack);
    this.#view.asOf.textContent = event.as_of;
    this.#view.asOf.dateTime = event.as_of;
    this.#view.panel.hidden = false;
    this.#view.empty.hidden = true;
  }

  #add(stack, line) {
    const item = document.createElement("li");
    item.dataset.stack = stack;
    item.append(line.element);
    this.#rented.set(stack, line);
    this.#view.rented.append(item);
  }

  #remove(stack) {
    this.#rented.get(stack).element.parentElement.remove();
    this.#rented.delete(stack);
  }
}

/** The same call in every view of the box's cost: a column a view, a row a stage. */
class ViewTable {
  constructor(parent) {
    this.table = child(parent, "table", "price-views");
    this.table.hidden = true;
    child(this.table, "caption", "unseen").textContent =
      "This call on this box: each stage in each view";
    this.head = child(child(this.table, "thead"), "tr");
    this.body = child(this.table, "tbody");
    this.foot = child(this.table, "tfoot");
  }

  /** Says whether there is anything to show: a box may tell of one view alone. */
  show(views, callS) {
    this.table.hidden = !views?.length;
    if (this.table.hidden) return false;
    this.head.replaceChildren();
    child(this.head, "td");
    for (const view of views) {
      const head = child(this.head, "th");
      head.scope = "col";
      head.textContent = viewLabel(view.view);
      child(head, "small").textContent = sharedBy(view);
    }
    const stages = [...new Set(views.flatMap((view) => Object.keys(view.lines)))];
    this.body.replaceChildren(
      ...stages.map((stage) =>
        row(
          stageLabel(stage),
          views.map((view) => amount(view, view.lines[stage])),
          stage,
        ),
      ),
    );
    this.foot.replaceChildren(
      row("Total", views.map((view) => amount(view, view.total_usd)), "total"),
      row(
        "A minute",
        views.map((view) => amount(view, perMinute(view.total_usd, callS))),
        "minute",
      ),
    );
    return true;
  }
}

function row(name, amounts, stage) {
  const line = document.createElement("tr");
  line.dataset.line = stage;
  const head = child(line, "th");
  head.scope = "row";
  head.textContent = name;
  for (const text of amounts) {
    child(line, "td", /\$/.test(text) ? "" : "unknown").textContent = text;
  }
  return line;
}

/** A view without lines was not measured, which is not the same as an unknown price. */
function amount(view, usd) {
  return Object.keys(view.lines).length ? formatUsd(usd) : "–";
}

export function viewLabel(view) {
  return view.replace(/^./, (c) => c.toUpperCase());
}

function sharedBy({ view, calls, lines }) {
  if (view === "marginal") return "one call more";
  if (!Object.keys(lines).length || calls === null) return "not measured yet";
  const number = Number(calls.toPrecision(2));
  return number === 1 ? "1 call at once" : `${number} calls at once`;
}

/** Which side is cheaper, whichever it is; a stack with an unknown price is not compared. */
export function verdict(owned, rented) {
  if (owned.total_usd === null || owned.total_usd === undefined) return "";
  const known = rented.filter((side) => side.total_usd !== null);
  if (!known.length) return "";
  const dearer = known.filter((side) => side.total_usd > owned.total_usd).length;
  const unknown = rented.length - known.length;
  const of = `${dearer} of ${known.length} ${known.length === 1 ? "stack" : "stacks"}`;
  const rest = unknown ? `; ${unknown} cannot be compared, for a price is not known` : "";
  return `So far this box is cheaper than ${of} below${rest}.`;
}

/** One stack's total as a bar, its stages folded under it. */
class Line {
  constructor(name, kind) {
    this.element = document.createElement("details");
    this.element.className = `price ${kind}`;
    const summary = child(this.element, "summary", "price-row");
    child(summary, "span", "price-name").textContent = name;
    this.total = child(summary, "span", "price-total");
    this.rate = child(summary, "span", "price-rate");
    const lane = child(summary, "span", "price-lane");
    lane.setAttribute("aria-hidden", "true");
    this.bar = child(lane, "span", "price-bar");
    this.stages = child(this.element, "dl", "price-stages");
    this.element.open = kind === "owned";
  }

  show(side, callS, scaleUsd) {
    const known = side.total_usd !== null;
    const rate = perMinute(side.total_usd, callS);
    this.element.classList.toggle("unknown", !known);
    this.total.textContent = known ? formatUsd(side.total_usd) : "unknown";
    this.rate.textContent = rate === null ? "" : `${formatUsd(rate)}/min`;
    this.bar.style.setProperty("--span", known && scaleUsd ? side.total_usd / scaleUsd : 0);
    this.stages.replaceChildren(
      ...Object.entries(side.lines).map(([stage, usd]) => stageLine(stage, usd)),
    );
  }
}

/** On what hardware the box's own figure stands, as far as the box tells. */
function basis({ hardware, view, assumed, energy }) {
  const measured = energy && `energy ${energy}`;
  const parts = [hardware && `Priced as ${hardware}`, view, measured];
  const sentences = parts.filter(Boolean).join("; ");
  if (!assumed?.length) return sentences && `${sentences}.`;
  const names = assumed.map((name) => name.replaceAll("_", " ").replace(/ usd$/, " price"));
  return `${sentences}. Assumed, not measured: ${names.join(", ")}.`;
}

function stageLine(stage, usd) {
  const line = document.createElement("div");
  line.dataset.stage = stage;
  child(line, "dt").textContent = stageLabel(stage);
  child(line, "dd", usd === null ? "unknown" : "").textContent = formatUsd(usd);
  return line;
}
