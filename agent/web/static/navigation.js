// The bar at the top of every page: where one can go, the theme, and signing out.

import { child } from "./element.js";

export const PAGES = [
  { page: "talk", href: "./", label: "Talk" },
  { page: "calls", href: "calls.html", label: "Calls" },
  { page: "costs", href: "costs.html", label: "Costs" },
  { page: "box", href: "box.html", label: "Box" },
  { page: "settings", href: "settings.html", label: "Settings" },
];

const MARK = "M7 18.5v-5M12 22V10M16 19v-6M20 24V8M25 18.5v-5";
const SVG = "http://www.w3.org/2000/svg";

/** Fills `<header class="top" data-page="calls">`. */
export function showNavigation(header = document.querySelector("header.top")) {
  const brand = child(header, "p", "brand");
  const home = child(brand, "a", "brand brand-link");
  home.href = "./";
  home.append(mark(), "Offhook");
  header.append(links(header.dataset.page));
  const theme = child(header, "button", "quiet");
  theme.type = "button";
  theme.id = "theme-toggle";
  theme.dataset.testid = "theme-toggle";
  theme.append(halfMoon(), child(theme, "span"));
  theme.lastChild.textContent = "Dark theme";
  wireTheme(theme);
  return header;
}

/** The pages' links; the one named `current` is marked. */
export function links(current) {
  const nav = document.createElement("nav");
  nav.className = "nav";
  nav.setAttribute("aria-label", "Pages");
  for (const { page, href, label } of PAGES) {
    const link = child(nav, "a");
    link.href = href;
    link.textContent = label;
    if (page === current) link.setAttribute("aria-current", "page");
  }
  return nav;
}

/** The button turns the theme over and remembers it (theme.js reads it). */
export function wireTheme(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : system.matches;
  };
  const show = () => button.setAttribute("aria-pressed", isDark());
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("offhook.theme", theme);
    show();
  });
  system.addEventListener("change", show);
  show();
}

function mark() {
  const svg = drawing("0 0 32 32", "brand-mark");
  const tile = shape(svg, "rect");
  tile.setAttribute("width", 32);
  tile.setAttribute("height", 32);
  tile.setAttribute("rx", 8);
  shape(svg, "path").setAttribute("d", MARK);
  return svg;
}

function halfMoon() {
  const svg = drawing("0 0 20 20");
  const ring = shape(svg, "circle");
  ring.setAttribute("cx", 10);
  ring.setAttribute("cy", 10);
  ring.setAttribute("r", 7);
  shape(svg, "path").setAttribute("d", "M10 3a7 7 0 0 1 0 14z");
  return svg;
}

function drawing(viewBox, className = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", viewBox);
  svg.setAttribute("aria-hidden", "true");
  if (className) svg.setAttribute("class", className);
  return svg;
}

function shape(svg, tag) {
  return svg.appendChild(document.createElementNS(SVG, tag));
}
