// What the call cost on this box, beside what the same usage costs in rented parts.

import { child } from "./element.js";

const STAGES = {
  turn_taking: "Turn-taking",
  stt: "Speech recognition",
  llm: "Language model",
  tts: "Speech synthesis",
  idle: "Idle time",
  discarded: "Guesses thrown away",
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
  #rented = new Map();

  /** `view`: elements `{panel, owned, basis, rented, asOf, empty}`. */
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
    this.#view.owned.append(this.#owned.element);
  }

  /** One `cost` event. Lines are updated in place: one that the reader unfolded stays so. */
  show(event) {
    const totals = [event.owned, ...event.rented].map((side) => side.total_usd ?? 0);
    const scaleUsd = Math.max(...totals);
    this.#owned.show(event.owned, event.call_s, scaleUsd);
    this.#view.owned.dataset.usd = event.owned.total_usd ?? "";
    this.#view.basis.textContent = basis(event.owned);
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
function basis({ hardware, view, assumed }) {
  const sentences = [hardware && `Priced as ${hardware}`, view].filter(Boolean).join("; ");
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
