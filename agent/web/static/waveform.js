// Both sides of a recording, drawn: the caller above the line, the agent below it.

import { child } from "./element.js";
import { cell } from "./operator.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 100;
const ROWS = 24;

/** "1:05". */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** Peaks as a filled outline from the middle; `up`: 1 above it, -1 below. */
export function outline(peaks, up) {
  const middle = HEIGHT / 2;
  // The root makes quiet speech visible beside loud; the table has the decibels.
  const points = peaks.map((peak, x) => `L${x} ${(middle - up * Math.sqrt(peak) * middle).toFixed(1)}`);
  return `M0 ${middle}${points.join("")}L${Math.max(0, peaks.length - 1)} ${middle}Z`;
}

/** At most `ROWS` stretches of whole seconds: `{fromS, toS, caller, agent}`, loudest peaks. */
export function stretches({ duration_s: durationS, caller, agent }) {
  const stepS = Math.max(1, Math.ceil(durationS / ROWS));
  const rows = [];
  for (let fromS = 0; fromS < durationS; fromS += stepS) {
    const toS = Math.min(fromS + stepS, durationS);
    const [a, b] = [fromS, toS].map((s) => Math.round((s / durationS) * caller.length));
    const loudest = (peaks) => peaks.slice(a, Math.max(b, a + 1)).reduce((x, y) => Math.max(x, y), 0);
    rows.push({ fromS, toS, caller: loudest(caller), agent: loudest(agent) });
  }
  return rows;
}

/** "−12 dB"; "silent" below −50. */
export function decibels(peak) {
  const db = 20 * Math.log10(peak);
  return db < -50 ? "silent" : `${db < -0.5 ? "−" : ""}${Math.abs(Math.round(db))} dB`;
}

export class Waveform {
  #parent;
  #player;
  #head;
  #svg;

  /** `player`: the audio element that a click moves. */
  constructor(parent, player) {
    this.#parent = parent;
    this.#player = player;
    player.addEventListener("timeupdate", () => this.#follow());
    player.addEventListener("seeked", () => this.#follow());
  }

  /** `marksS`: moments to mark, in seconds of the recording. */
  show(waveform, marksS) {
    this.#parent.replaceChildren();
    const width = Math.max(1, waveform.caller.length - 1);
    const svg = (this.#svg = this.#drawing(width));
    svg.setAttribute("aria-label", describe(waveform));
    line(svg, "middle", 0, width, HEIGHT / 2, HEIGHT / 2);
    path(svg, "caller", outline(waveform.caller, 1));
    path(svg, "agent", outline(waveform.agent, -1));
    for (const at of marksS) {
      if (at < 0 || at > waveform.duration_s) continue;
      const x = (at / waveform.duration_s) * width;
      line(svg, "mark", x, x, 0, HEIGHT);
    }
    this.#head = line(svg, "head", 0, 0, 0, HEIGHT);
    svg.addEventListener("click", (event) => this.#seek(event, waveform.duration_s));
    const scale = child(this.#parent, "div", "waveform-scale");
    scale.setAttribute("aria-hidden", "true");
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
      child(scale, "span").textContent = clock(part * waveform.duration_s);
    }
    this.#follow();
  }

  #drawing(width) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    this.#parent.append(svg);
    return svg;
  }

  #seek(event, durationS) {
    const box = this.#svg.getBoundingClientRect();
    this.#player.currentTime = ((event.clientX - box.left) / box.width) * durationS;
  }

  #follow() {
    if (!this.#head) return;
    const { currentTime, duration } = this.#player;
    const share = duration ? currentTime / duration : 0;
    const x = share * this.#svg.viewBox.baseVal.width;
    this.#head.setAttribute("x1", x);
    this.#head.setAttribute("x2", x);
  }
}

/** The same as rows of a table. */
export function fillTable(body, waveform) {
  body.replaceChildren();
  for (const { fromS, toS, caller, agent } of stretches(waveform)) {
    const row = child(body, "tr");
    cell(row, clock(fromS));
    cell(row, clock(toS));
    cell(row, decibels(caller), "number");
    cell(row, decibels(agent), "number");
  }
}

function describe(waveform) {
  const part = (peaks) =>
    Math.round((100 * peaks.filter((peak) => peak > 0.02).length) / Math.max(1, peaks.length));
  return (
    `Waveform of ${clock(waveform.duration_s)} minutes: the caller is heard in ` +
    `${part(waveform.caller)} % of it, the agent in ${part(waveform.agent)} %.`
  );
}

function line(svg, className, x1, x2, y1, y2) {
  const element = svg.appendChild(document.createElementNS(SVG, "line"));
  element.setAttribute("class", className);
  for (const [name, value] of Object.entries({ x1, x2, y1, y2 })) element.setAttribute(name, value);
  return element;
}

function path(svg, className, d) {
  const element = svg.appendChild(document.createElementNS(SVG, "path"));
  element.setAttribute("class", className);
  element.setAttribute("d", d);
}
