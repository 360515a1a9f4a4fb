// Stacked columns as inline SVG, with the table of their numbers behind. The columns are a list:
// Tab reaches it once, the arrow keys go along it, and what a column stands for is said in words.

import { child } from "./element.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 260;
const LEAST_WIDTH = 260;
const PLOT = { left: 70, right: 4, top: 10, bottom: 28 };
const WIDEST = 120; // of a column, where there are few
const LETTER_PX = 7.5; // of a label below the axis
const STEPS = [1, 2, 2.5, 5, 10];

/**
 * `data`: `{name, series: [{name, className}], columns: [{label, values, note}], format}`; a value is
 * a number, null where it is not known, undefined where there is nothing.
 */
export function columnChart(figure, data) {
  draw(figure, data);
  watched.get(figure)?.disconnect();
  const observer = new ResizeObserver(() => {
    if (Number(figure.dataset.width) !== widthOf(figure)) draw(figure, data);
  });
  observer.observe(figure);
  watched.set(figure, observer);
}

const watched = new WeakMap(); // figure -> what redraws it when its width changes

/** Drawn to the pixel, so that its words keep their size on a telephone. */
function draw(figure, data) {
  const width = widthOf(figure);
  figure.dataset.width = width;
  const scale = axis(Math.max(...data.columns.map((column) => known(column.values)), 0));
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("role", "list");
  svg.setAttribute("aria-label", `${data.name}. Arrow keys go from column to column.`);
  drawAxis(svg, scale, data.format, width);
  const readout = document.createElement("figcaption");
  readout.className = "readout";
  readout.textContent = "Point at a column, or go along them with the arrow keys.";
  drawColumns(svg, data, scale, readout, width);
  figure.replaceChildren(svg, readout);
}

/** Series by name, as the chart colours them. */
export function showKeys(list, series) {
  list.replaceChildren(
    ...series.map(({ name, className }) => {
      const item = document.createElement("li");
      const key = child(item, "span", `key ${className}`);
      key.setAttribute("aria-hidden", "true");
      item.append(name);
      return item;
    }),
  );
}

/** The numbers behind a chart, in `<table class="table">`. */
export function tableBehind(table, data, first) {
  table.replaceChildren();
  child(table, "caption").textContent = data.name;
  const head = child(child(table, "thead"), "tr");
  for (const [at, name] of [first, ...data.series.map((each) => each.name), "Total"].entries()) {
    const cell = child(head, "th", at ? "number" : "");
    cell.scope = "col";
    cell.textContent = name;
  }
  const body = child(table, "tbody");
  for (const column of data.columns) {
    const row = child(body, "tr");
    const name = child(row, "th", "nowrap");
    name.scope = "row";
    name.textContent = column.label;
    for (const value of [...column.values, sum(column.values)]) {
      const text = value === undefined ? "–" : data.format(value);
      child(row, "td", `number ${value === null ? "unknown" : ""}`).textContent = text;
    }
  }
}

/** Null where a part is not known; nothing where there is no part. */
export function sum(values) {
  const there = values.filter((value) => value !== undefined);
  if (!there.length) return undefined;
  return there.includes(null) ? null : there.reduce((a, b) => a + b, 0);
}

/** An axis from 0 to a round number at or beyond `most`, in four or five steps. */
export function axis(most) {
  if (!(most > 0)) return { end: 1, ticks: [] };
  const size = 10 ** Math.floor(Math.log10(most / 4));
  const step = size * STEPS.find((each) => each * size * 4 >= most * 0.9999);
  const count = Math.ceil(most / step - 1e-9);
  return { end: count * step, ticks: Array.from({ length: count + 1 }, (_, at) => at * step) };
}

function known(values) {
  return values.reduce((total, value) => total + (value ?? 0), 0);
}

function widthOf(figure) {
  const style = getComputedStyle(figure);
  const inside = figure.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return Math.max(LEAST_WIDTH, Math.floor(inside));
}

function drawAxis(svg, scale, format, width) {
  for (const tick of scale.ticks) {
    const y = heightOf(tick, scale);
    shape(svg, "line", { class: "rule", x1: PLOT.left, x2: width - PLOT.right, y1: y, y2: y });
    const label = shape(svg, "text", { x: PLOT.left - 8, y: y + 4, "text-anchor": "end" });
    label.textContent = format(tick).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
    label.setAttribute("aria-hidden", "true");
  }
}

function drawColumns(svg, data, scale, readout, width) {
  const room = width - PLOT.left - PLOT.right;
  const each = room / Math.max(1, data.columns.length);
  const gap = Math.min(4, each * 0.2);
  const label = 16 + LETTER_PX * Math.max(0, ...data.columns.map((column) => column.label.length));
  const every = Math.ceil(label / each);
  const groups = data.columns.map((column, at) => {
    const group = shape(svg, "g", { class: "column", role: "listitem", tabindex: at ? -1 : 0 });
    const text = inWords(column, data);
    group.setAttribute("aria-label", text);
    const x = PLOT.left + at * each;
    // The whole height is sensitive, so that a small column can be pointed at.
    const bottom = HEIGHT - PLOT.bottom;
    const whole = { x, y: PLOT.top, width: each, height: bottom - PLOT.top };
    shape(group, "rect", { class: "sense", ...whole });
    let from = 0;
    for (const [number, value] of column.values.entries()) {
      if (!value) continue;
      const [low, high] = [heightOf(from, scale), heightOf(from + value, scale)];
      const wide = Math.min(WIDEST, each - gap);
      const [left, height] = [x + (each - wide) / 2, Math.max(0, low - high)];
      const place = { x: left, y: high, width: wide, height };
      shape(group, "rect", { class: `area ${data.series[number].className}`, ...place });
      from += value;
    }
    if (column.values.includes(null)) {
      const mark = shape(group, "text", { x: x + each / 2, y: bottom - 6, "text-anchor": "middle" });
      mark.textContent = "?";
    }
    const isLabelled = at % every === 0 && x + (each + label) / 2 < width + 16;
    if (isLabelled) {
      // The first would reach beyond the axis where columns are narrow.
      const isNarrow = !at && each < label;
      const anchor = isNarrow ? "start" : "middle";
      const place = { x: isNarrow ? x : x + each / 2, y: HEIGHT - 8, "text-anchor": anchor };
      shape(svg, "text", { ...place, "aria-hidden": "true" }).textContent = column.label;
    }
    const tell = () => (readout.textContent = text);
    group.addEventListener("pointerenter", tell);
    group.addEventListener("focus", tell);
    return group;
  });
  svg.addEventListener("keydown", (event) => walk(event, groups));
}

function walk(event, groups) {
  const at = groups.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: groups.length - 1 }[event.key];
  if (at < 0 || to === undefined || !groups[to]) return;
  event.preventDefault();
  groups[at].setAttribute("tabindex", -1);
  groups[to].setAttribute("tabindex", 0);
  groups[to].focus();
}

function inWords(column, data) {
  const parts = data.series
    .map(({ name }, at) => [name, column.values[at]])
    .filter(([, value]) => value !== undefined && value !== 0)
    .map(([name, value]) => `${name} ${data.format(value)}`);
  const total = sum(column.values);
  const whole = total === undefined ? "nothing" : data.format(total);
  const split = parts.length > 1 ? ` (${parts.join(", ")})` : "";
  return `${column.label}: ${whole}${split}${column.note ? `; ${column.note}` : ""}.`;
}

function heightOf(value, scale) {
  return HEIGHT - PLOT.bottom - (value / scale.end) * (HEIGHT - PLOT.top - PLOT.bottom);
}

function shape(parent, tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return parent.appendChild(element);
}
