// Costs over time: recorded calls at every price, by what they have in common.

import { columnChart, showKeys, tableBehind } from "./column_chart.js";
import { stageLabel, viewLabel } from "./cost.js";
import { child } from "./element.js";
import { showNavigation } from "./navigation.js";
import { cell, complain, fetchJson, forgive, offerSignOut, usd } from "./operator.js";

const DAY_MS = 86_400_000;
const HEADLINE = "at measured utilisation";
const BY = {
  stage: "Stage of the work",
  profile: "Profile",
  workflow: "Workflow",
  outcome: "Outcome",
  caller: "Caller",
  trunk: "Trunk",
  tenant: "Tenant",
  door: "Door",
};
const STAGE_COLOURS = {
  turn_taking: 6,
  stt: 1,
  llm: 5,
  tts: 2,
  discarded: 7,
  idle: 8,
  trunk: 3,
  telephony: 3,
  platform: 4,
};
const GROUP_COLUMNS = [
  "Calls",
  "Minutes",
  "Turns",
  "Marginal",
  "At measured utilisation",
  "a minute",
  "a turn",
  "At capacity",
  "Outcomes’ value",
  "Cheapest rented",
  "Dearest rented",
];

const $ = (id) => document.getElementById(id);
const form = $("filters");

let answer = null; // what the box said last
let asking = null;

// -- what is asked for

/** The query of GET api/costs; `now` in milliseconds. */
export function query(fields, now) {
  const asked = new URLSearchParams({ by: fields.get("by") || "stage" });
  const time = fields.get("time");
  if (time === "between") {
    if (fields.get("since")) asked.set("since", `${fields.get("since")}T00:00:00Z`);
    // The last day counts whole.
    if (fields.get("until")) asked.set("until", dayAfter(fields.get("until")));
  } else if (time !== "all") {
    asked.set("since", new Date(now - Number(time) * DAY_MS).toISOString());
  }
  if (fields.get("length")) asked.set("length", fields.get("length"));
  return asked;
}

function dayAfter(day) {
  return new Date(Date.parse(`${day}T00:00:00Z`) + DAY_MS).toISOString();
}

async function ask() {
  asking?.abort();
  const mine = (asking = new AbortController());
  const isBetween = form.elements.time.value === "between";
  for (const label of form.querySelectorAll(".between")) label.hidden = !isBetween;
  $("said").textContent = "Reckoning …";
  try {
    answer = await fetchJson(`api/costs?${query(new FormData(form), Date.now())}`, mine);
    forgive();
    offerPrices();
    show();
  } catch (error) {
    if (error.name === "AbortError") return;
    $("said").textContent = "";
    complain(error);
  }
}

/** Prices are the box's to name; the one that was chosen stays chosen. */
function offerPrices() {
  const select = form.elements.price;
  const chosen = select.value || HEADLINE;
  select.replaceChildren();
  for (const [kind, label] of [["owned", "This box"], ["rented", "Rented"]]) {
    const group = child(select, "optgroup");
    group.label = label;
    for (const price of answer.prices.filter((each) => each.kind === kind)) {
      const option = child(group, "option");
      option.value = price.name;
      option.disabled = !price.measured;
      option.textContent = priceLabel(price) + (price.measured ? "" : " (not measured)");
    }
  }
  select.value = chosen;
  if (!select.value) select.value = answer.prices.find((price) => price.measured).name;
}

// -- what is shown

function show() {
  const { total, periods } = answer;
  const some = total.calls > 0;
  $("said").textContent = some ? amounts(total) : "";
  $("empty").hidden = some;
  $("chart-body").hidden = !some;
  showTiles();
  if (some) showChart(periods);
  showBeside();
  showGroups();
  showNotes();
}

function showTiles() {
  const { total, fixed_usd_per_hour: hourly } = answer;
  const here = total.usd[HEADLINE];
  const tiles = [
    ["Calls", total.calls],
    ["Minutes", minutes(total.minutes)],
    ["This box, at measured utilisation", money(here), `${perMinute(here, total)} a minute`],
    ["Cheapest rented stack", ...extreme(total, Math.min)],
    ["The box itself", hourly === null ? "unknown" : `${usd(hourly)}/h`, "whether busy or not"],
  ];
  $("tiles").replaceChildren(
    ...tiles.map(([name, value, note]) => {
      const tile = document.createElement("div");
      child(tile, "dt").textContent = name;
      const figure = child(tile, "dd");
      figure.textContent = value;
      if (note) child(figure, "small").textContent = ` ${note}`;
      return tile;
    }),
  );
}

function showChart(periods) {
  const price = chosenPrice();
  // A series that this price never has (a rented stack has no idle time) is left out.
  const shown = answer.series.filter((name) =>
    periods.some((period) => valueOf(period, name, price.name) !== undefined),
  );
  const data = {
    name: `${priceTitle(price)}, by ${BY[answer.by].toLowerCase()}`,
    series: shown.map((name, at) => ({
      name: answer.by === "stage" ? stageLabel(name) : name,
      className: `series-${(answer.by === "stage" && STAGE_COLOURS[name]) || (at % 8) + 1}`,
    })),
    columns: periods.map((period) => ({
      label: periodLabel(period.begins_at, answer.length),
      values: shown.map((name) => valueOf(period, name, price.name)),
      note: amounts(period),
    })),
    format: usd,
  };
  $("chart-title").textContent = data.name;
  columnChart($("chart"), data);
  showKeys($("keys"), data.series);
  tableBehind($("behind"), data, { hour: "Hour", day: "Day", week: "Week from", month: "Month" }[answer.length]);
}

function valueOf(period, name, price) {
  return period.series[name]?.[price];
}

function showBeside() {
  const { total, prices } = answer;
  const here = total.usd[HEADLINE];
  const most = Math.max(...Object.values(total.usd).map((each) => each ?? 0));
  $("beside").replaceChildren(
    ...prices.map((price) => {
      const row = document.createElement("tr");
      row.dataset.price = price.name;
      const value = total.usd[price.name];
      const name = child(row, "th");
      name.scope = "row";
      name.textContent = priceTitle(price);
      bar(row, price.kind, value, most);
      figure(row, money(value), value);
      figure(row, perMinute(value, total), value);
      figure(row, total.turns ? money(over(value, total.turns)) : "–", value);
      figure(row, price.name === HEADLINE ? "" : ratio(value, here), value);
      return row;
    }),
  );
}

function bar(row, kind, value, most) {
  const lane = child(row, "td", `cost-lane ${kind}`);
  lane.setAttribute("aria-hidden", "true");
  const gauge = child(lane, "div", `gauge ${value === null ? "missing" : ""}`);
  child(gauge, "span").style.setProperty("--span", value && most ? value / most : 0);
}

function showGroups() {
  $("groups-card").hidden = answer.total.calls === 0;
  $("groups-title").textContent = `By ${BY[answer.by].toLowerCase()}`;
  $("groups-hint").textContent =
    answer.by === "stage" ? "dollars of the whole time" : "those with most minutes first";
  if (answer.by === "stage") return showLines();
  heads([BY[answer.by], ...GROUP_COLUMNS]);
  $("groups").replaceChildren(...[...answer.groups].map(groupRow));
}

function groupRow(group) {
  const row = document.createElement("tr");
  const name = child(row, "th");
  name.scope = "row";
  name.textContent = group.name;
  const here = group.usd[HEADLINE];
  cell(row, group.calls, "number");
  cell(row, minutes(group.minutes), "number");
  cell(row, group.turns, "number");
  figure(row, money(group.usd.marginal), group.usd.marginal);
  figure(row, money(here), here);
  figure(row, money(over(here, group.minutes)), here);
  figure(row, group.turns ? money(over(here, group.turns)) : "–", here);
  figure(row, money(group.usd["at capacity"]), group.usd["at capacity"]);
  cell(row, group.value_usd === null ? "–" : `$${group.value_usd.toFixed(2)}`, "number");
  for (const choose of [Math.min, Math.max]) cell(row, extreme(group, choose)[0], "number");
  return row;
}

/** Every price, by stage and part of the bill. */
function showLines() {
  heads(["Price", ...answer.series.map(stageLabel)]);
  const rows = answer.prices.map((price) => {
    const row = document.createElement("tr");
    row.dataset.price = price.name;
    const name = child(row, "th");
    name.scope = "row";
    name.textContent = priceTitle(price);
    for (const line of answer.series) {
      const value = answer.total.lines[line]?.[price.name];
      figure(row, money(value), value);
    }
    return row;
  });
  $("groups").replaceChildren(...rows);
}

function heads(names) {
  const row = document.createElement("tr");
  for (const [at, name] of names.entries()) {
    const head = child(row, "th", at ? "number" : "");
    head.scope = "col";
    head.textContent = name;
  }
  $("groups-head").replaceChildren(row);
}

function showNotes() {
  const { mean_calls: mean, capacity_calls: capacity, assumed, total } = answer;
  const names = assumed.map((name) => name.replaceAll("_", " ").replace(/ usd$/, " price"));
  const notes = [
    `This box is priced as ${answer.hardware}${names.length ? `. Assumed, not measured: ${names.join(", ")}` : ""}.`,
    mean === null
      ? ""
      : `At measured utilisation: ${round(mean)} calls at once on average from ${day(answer.begins_at)} to ${day(answer.ends_at)}, empty hours included${answer.from_first_call ? ", counted from the first call that was recorded" : ""}. The idle time of all of it is spread over its minutes, so a column without calls shows none.`,
    capacity === null
      ? "At capacity is not known: offhook bench capacity --install measures what this machine carries."
      : `At capacity: ${capacity} calls at once, as measured on this machine.`,
    "Rented stacks: list prices, as they were reckoned at each call’s end. A price that is not known makes its total unknown, never smaller.",
    "Quality is not priced: a rented model may answer better than the one on this box.",
    answer.left_out ? `Only the latest ${answer.most_calls} calls are counted: ask for less time.` : "",
    total.value_usd === null ? "" : `Outcomes were worth $${total.value_usd.toFixed(2)} in all.`,
  ];
  $("notes").replaceChildren(
    ...notes.filter(Boolean).map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }),
  );
}

// -- words and numbers

function chosenPrice() {
  return answer.prices.find((price) => price.name === form.elements.price.value);
}

function priceLabel({ name, kind }) {
  return kind === "owned" ? viewLabel(name) : name;
}

function priceTitle({ name, kind }) {
  return kind === "owned" ? `This box, ${name}` : name;
}

/** "–" where it was not measured, which is not the same as an unknown price. */
function money(value) {
  return value === undefined ? "–" : usd(value);
}

function figure(row, text, value) {
  return cell(row, text, `number ${value === null ? "unknown" : ""}`);
}

function over(value, count) {
  return value === undefined || value === null || !count ? value : value / count;
}

function perMinute(value, { minutes: count }) {
  return count ? money(over(value, count)) : "–";
}

function ratio(value, here) {
  if (!value || !here) return "–";
  return `× ${round(value / here)}`;
}

/** The cheapest or dearest stack whose price is known: dollars, and its name. */
function extreme(tally, choose) {
  const rented = answer.prices.filter((price) => price.kind === "rented");
  const known = rented.map(({ name }) => [tally.usd[name], name]).filter(([value]) => Number.isFinite(value));
  if (!known.length) return ["–", ""];
  const value = choose(...known.map(([each]) => each));
  return [usd(value), known.find(([each]) => each === value)[1]];
}

function round(number) {
  return number >= 100 ? Math.round(number) : Number(number.toPrecision(2));
}

function minutes(count) {
  return count >= 100 ? Math.round(count).toLocaleString("en") : count.toFixed(1);
}

function amounts(tally) {
  return `${tally.calls} ${tally.calls === 1 ? "call" : "calls"}, ${minutes(tally.minutes)} minutes`;
}

function day(iso) {
  return iso.slice(0, 10);
}

/** "Nov 3", "14:00", "2026-11": short, for the axis; the year where months are shown. */
export function periodLabel(iso, length) {
  const at = new Date(iso);
  if (length === "month") return iso.slice(0, 7);
  const date = at.toLocaleDateString("en", { month: "short", day: "numeric", timeZone: "UTC" });
  return length === "hour" ? `${date} ${iso.slice(11, 16)}` : date;
}

showNavigation();
offerSignOut();
for (const [value, label] of Object.entries(BY)) {
  const option = child(form.elements.by, "option");
  option.value = value;
  option.textContent = label;
}
form.addEventListener("change", (event) => (event.target.name === "price" ? show() : ask()));
form.addEventListener("submit", (event) => event.preventDefault());
ask();
