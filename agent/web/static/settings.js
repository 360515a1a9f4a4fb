// The settings that the box runs with; secrets never leave it.

import { child } from "./element.js";
import { showNavigation } from "./navigation.js";
import { complain, fetchJson, offerSignOut } from "./operator.js";

const $ = (id) => document.getElementById(id);
const form = $("filters");

let tables = [];

async function load() {
  try {
    ({ tables } = await fetchJson("api/settings"));
    show();
  } catch (error) {
    complain(error);
  }
}

function show() {
  const text = form.elements.text.value.trim().toLowerCase();
  const wanted = (title, entry) =>
    (!form.elements.own.checked || entry.own) &&
    `${title} ${entry.key} ${inText(entry)}`.toLowerCase().includes(text);
  const left = tables
    .map(({ title, keys }) => ({ title, keys: keys.filter((entry) => wanted(title, entry)) }))
    .filter(({ keys }) => keys.length);
  const count = left.reduce((sum, { keys }) => sum + keys.length, 0);
  $("count").textContent = `${count} ${count === 1 ? "key" : "keys"} in ${left.length} ${left.length === 1 ? "table" : "tables"}`;
  $("tables").replaceChildren(...left.map(card));
}

function card({ title, keys }, at) {
  const section = document.createElement("section");
  section.className = "card settings-table";
  section.setAttribute("aria-labelledby", `table-${at}`);
  const head = child(child(section, "header", "card-head"), "h2");
  head.id = `table-${at}`;
  child(head, "code").textContent = title;
  const table = child(section, "table", "table");
  const names = child(child(child(table, "thead", "unseen"), "tr"), "th");
  names.scope = "col";
  names.textContent = "Key";
  const values = child(names.parentElement, "th");
  values.scope = "col";
  values.textContent = "Value";
  const body = child(table, "tbody");
  for (const entry of keys) body.append(row(entry));
  return section;
}

function row(entry) {
  const line = document.createElement("tr");
  line.dataset.key = entry.key;
  line.className = entry.own ? "own" : "";
  child(line, "td").textContent = entry.key;
  const value = child(line, "td", entry.own ? "" : "default");
  if (entry.secret) child(value, "span", "tag").textContent = "set, hidden";
  else value.textContent = inText(entry);
  return line;
}

function inText({ value }) {
  if (value === null) return "not set";
  if (Array.isArray(value)) return value.length ? value.join("\n") : "none";
  return value === "" ? "empty" : value;
}

showNavigation();
offerSignOut();
form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
load();
