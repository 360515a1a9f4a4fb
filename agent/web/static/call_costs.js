// What one call cost: here in each view by line, and on each rented stack by part.

import { stageLabel } from "./cost.js";
import { child } from "./element.js";
import { cell, usd } from "./operator.js";

/**
 * A record, or a call under way (`cost`, of the `cost` event), as
 * `{owned: [{name, note, lines}], rented: [{name, lines}], totals}`; `lines`: null where the view
 * was not measured. Dollars stay as they came: null is unknown.
 */
export function bills(record, cost) {
  if (cost) {
    return {
      owned: cost.owned.views.map(({ view, calls, lines, total_usd }) => ({
        name: view,
        note: calls === null ? "" : `${Number(calls).toPrecision(2)} calls share it`,
        lines: Object.keys(lines).length ? lines : null,
        total: total_usd,
      })),
      rented: cost.rented.map(({ stack, lines, total_usd }) => ({
        name: stack,
        lines,
        total: total_usd,
      })),
    };
  }
  const owned = Object.entries(record.owned_lines).map(([name, lines]) => ({
    name,
    note: "",
    lines,
    total: lines && sum(Object.values(lines)),
  }));
  const rented = Object.entries(record.rented_lines).map(([name, lines]) => ({
    name,
    lines,
    total: sum(Object.values(lines)),
  }));
  return { owned, rented };
}

/** Unknown in, unknown out. */
export function sum(amounts) {
  return amounts.reduce((a, b) => (a === null || b === null ? null : a + Number(b)), 0);
}

/** Rows: lines; columns: views. Idle time never leaves the table. */
export function showOwned({ head, body, foot }, owned, callS) {
  const top = heads(head, ["Line", ...owned.map((view) => view.name.replace(/^./, (c) => c.toUpperCase()))]);
  owned.forEach((view, at) => {
    const note = view.lines ? view.note : "not measured";
    if (note) child(top.cells[at + 1], "small", "column-note").textContent = note;
  });
  const lines = names(owned);
  body.replaceChildren(
    ...lines.map((line) =>
      amounts(stageLabel(line), owned.map((view) => (view.lines ? view.lines[line] ?? 0 : undefined)), line),
    ),
  );
  foot.replaceChildren(
    amounts("Total", owned.map((view) => (view.lines ? view.total : undefined)), "total"),
    amounts("A minute", owned.map((view) => (view.lines ? aMinute(view.total, callS) : undefined)), "minute"),
  );
}

/** Rows: stacks; columns: parts, then the total and what a minute comes to. */
export function showRented({ head, body }, rented, callS) {
  const parts = names(rented);
  heads(head, ["Stack", ...parts.map(stageLabel), "Total", "A minute"]);
  body.replaceChildren(
    ...rented.map((stack) => {
      // A part that a stack does not have costs nothing there: it is within another.
      const shown = parts.map((part) => (part in stack.lines ? stack.lines[part] : undefined));
      return amounts(stack.name, [...shown, stack.total, aMinute(stack.total, callS)], stack.name);
    }),
  );
}

function aMinute(total, callS) {
  return total === null || !(callS > 0) ? null : (Number(total) / callS) * 60;
}

function names(bills) {
  return [...new Set(bills.flatMap((bill) => Object.keys(bill.lines ?? {})))];
}

function heads(head, texts) {
  head.replaceChildren();
  const row = child(head, "tr");
  texts.forEach((text, at) => {
    cell(row, text, at ? "number" : "", "th").scope = "col";
  });
  return row;
}

/** undefined: there is nothing to say; null: unknown. */
function amounts(name, values, line) {
  const row = document.createElement("tr");
  row.dataset.line = line;
  cell(row, name, "", "th").scope = "row";
  for (const value of values) {
    if (value === undefined) cell(row, "–", "number");
    else cell(row, usd(value), `number ${value === null ? "unknown" : ""}`);
  }
  return row;
}
