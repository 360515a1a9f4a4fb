"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

/* Words from a report only ever become text nodes: the agent wrote some of them. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
function shape(name, attributes = {}, words) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (words !== undefined) made.textContent = words;
  return made;
}
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const ms = (value) => (value === null ? "–" : `${Math.round(value).toLocaleString("en")} ms`);
function clock(at_s) {
  const whole = Math.max(0, at_s);
  return `${Math.floor(whole / 60)}:${(whole % 60).toFixed(1).padStart(4, "0")}`;
}
function badge(status, words) {
  const icon = shape("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
  icon.append(shape("path", { d: status === "good" ? "M3.5 8.5l3 3 6-7" : "M4 4l8 8M12 4l-8 8" }));
  return element("span", { class: `badge ${status}` }, icon, words);
}

/* ---- how many are answered within ---- */
function probeLatency() {
  const slider = find("probe");
  if (!slider || !data.series.length) return;
  const charts = [...document.querySelectorAll(".chart.cdf")];
  slider.max = charts[0].dataset.topMs;
  slider.value = data.series[0].values[Math.floor(data.series[0].values.length / 2)];
  const show = () => {
    const at = Number(slider.value);
    const shares = data.series.map(({ name, values }) => {
      const within = values.filter((value) => value <= at).length / values.length;
      return data.series.length > 1 ? `${name} ${(100 * within).toFixed(0)}%` : `${(100 * within).toFixed(0)}%`;
    });
    find("probe-out").textContent = `${at.toLocaleString("en")} ms: ${shares.join(" · ")}`;
    slider.setAttribute("aria-valuetext", find("probe-out").textContent);
    for (const chart of charts) {
      const { left, right, topMs } = chart.dataset;
      const x = Number(left) + ((right - left) * at) / topMs;
      const cursor = chart.querySelector(".cursor");
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
    }
  };
  slider.addEventListener("input", () => {
    charts.forEach((chart) => chart.classList.add("probed"));
    show();
  });
  for (const chart of charts) {
    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect();
      const at = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
      const { left, right, topMs } = chart.dataset;
      slider.value = clamp(((at - left) / (right - left)) * topMs, 0, topMs);
      chart.classList.add("probed");
      show();
    });
    chart.addEventListener("pointerleave", () => chart.classList.remove("probed"));
  }
  show();
  slider.closest(".probe").hidden = false;
}

/* ---- the table of turns ---- */
function filterTurns() {
  const table = find("turn-table");
  if (!table) return;
  const rows = [...table.tBodies[0].rows];
  const words = new Map(rows.map((row) => [row, ""]));
  const turns = new Map();
  for (const call of data.calls) {
    for (const turn of call.turns) {
      turns.set(`#call-${call.call}-turn-${turn.part}`, turn);
    }
  }
  for (const row of rows) {
    const turn = turns.get(row.querySelector("a").hash);
    if (turn) words.set(row, [turn.said, turn.heard, turn.answer, turn.recognised].join(" ").toLowerCase());
  }
  const apply = () => {
    const scenario = find("by-scenario").value;
    const outcome = find("by-outcome").value;
    const sought = find("by-words").value.trim().toLowerCase();
    const failed = find("by-failed").checked;
    let shown = 0;
    for (const row of rows) {
      const fits =
        (!scenario || row.dataset.scenario === scenario) &&
        (!outcome || row.dataset.outcome === outcome) &&
        (!failed || row.dataset.failed) &&
        (!sought || words.get(row).includes(sought));
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    find("shown").textContent = `${shown} of ${rows.length} turns`;
  };
  find("filters").addEventListener("input", apply);
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  find("filters").hidden = false;
  apply();
  [...table.tHead.rows[0].cells].forEach((head, place) => {
    const button = element("button", { type: "button" }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => {
        const words = row.cells[place].textContent.trim();
        const figure = Number(words.replaceAll(",", ""));
        return words !== "–" && Number.isFinite(figure) ? figure : words;
      };
      const order = (a, b) => {
        const [first, second] = [key(a), key(b)];
        if (first === "–" || second === "–") return (first === "–") - (second === "–");
        const way = typeof first === "number" && typeof second === "number" ? first - second : String(first).localeCompare(String(second));
        return up ? way : -way;
      };
      table.tBodies[0].append(...[...rows].sort(order));
    });
  });
}

/* ---- a call's timeline ---- */
const LANE = { ruler: 24, caller: 34, callerEnd: 112, mid: 114, midEnd: 148, agent: 150, agentEnd: 230, height: 252 };
const state = { call: null, turn: null, from: 0, to: 1, at: 0, frame: 0 };

function decode(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let place = 0; place < raw.length; place += 1) bytes[place] = raw.charCodeAt(place);
  return bytes;
}
function peaksOf(call) {
  if (call.peaks && !call.peaks.decoded) {
    const decoded = { caller: decode(call.peaks.caller), agent: decode(call.peaks.agent) };
    decoded.loudest = Math.max(24, decoded.caller.reduce((a, b) => Math.max(a, b), 0), decoded.agent.reduce((a, b) => Math.max(a, b), 0));
    call.peaks.decoded = decoded;
  }
  return call.peaks ? call.peaks.decoded : null;
}
const lengthOf = (call) => Math.max(call.duration_s, call.peaks ? call.peaks.bytes * call.peaks.step_s : 0, 1);

function wave(peaks, loudest, step_s, from, to, width, middle, half) {
  let top = "";
  const below = [];
  for (let x = 0; x < width; x += 1) {
    const first = Math.floor((from + ((to - from) * x) / width) / step_s);
    const last = Math.max(first + 1, Math.floor((from + ((to - from) * (x + 1)) / width) / step_s));
    let peak = 0;
    for (let place = Math.max(0, first); place < Math.min(last, peaks.length); place += 1) peak = Math.max(peak, peaks[place]);
    /* Quiet speech is to be seen: the square root lifts it. */
    const reach = Math.max(0.4, Math.sqrt(peak / loudest) * half);
    top += `${x ? "L" : "M"}${x} ${(middle - reach).toFixed(1)}`;
    below.push(`L${x} ${(middle + reach).toFixed(1)}`);
  }
  return `${top}${below.reverse().join("")}Z`;
}

function draw() {
  const { call, from, to } = state;
  const view = find("timeline");
  const width = Math.max(200, view.clientWidth);
  const x = (at_s) => ((at_s - from) / (to - from)) * width;
  view.setAttribute("viewBox", `0 0 ${width} ${LANE.height}`);
  const parts = [];
  const span = to - from;
  const step = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600].find((size) => (size / span) * width > 64) || 1200;
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    parts.push(shape("line", { x1: x(at), x2: x(at), y1: LANE.ruler - 4, y2: LANE.height, class: "rule" }));
    parts.push(shape("text", { x: x(at) + 4, y: 15 }, step < 1 ? clock(at) : clock(at).slice(0, -2)));
  }
  const peaks = peaksOf(call);
  const lanes = [["caller", (LANE.caller + LANE.callerEnd) / 2 + 8, 28], ["agent", (LANE.agent + LANE.agentEnd) / 2 + 8, 28]];
  const spans = [];
  const marks = [];
  for (const turn of call.turns) {
    const chosen = turn === state.turn ? " chosen" : "";
    spans.push(box(turn.began_s, turn.ended_s, LANE.caller, LANE.callerEnd, `span caller${chosen}`));
    words(turn.began_s, turn.ended_s, LANE.caller + 14, turn.kind === "keys" ? `keys ${turn.said ?? ""}` : (turn.said ?? turn.kind));
    if (turn.answer_began_s !== null && turn.answer_ended_s !== null) {
      spans.push(box(turn.answer_began_s, turn.answer_ended_s, LANE.agent, LANE.agentEnd, `span agent${chosen}`));
      words(turn.answer_began_s, turn.answer_ended_s, LANE.agent + 14, turn.answer || turn.recognised || "");
    }
    const mid = LANE.mid + 8;
    if (turn.v2v_ms !== null) {
      const onset = turn.ended_s + turn.v2v_ms / 1000;
      const [first, last] = [Math.min(turn.ended_s, onset), Math.max(turn.ended_s, onset)];
      if (last > from && first < to) {
        marks.push(shape("line", { x1: x(turn.ended_s), x2: x(turn.ended_s), y1: LANE.caller, y2: mid + 10, class: "ending" }));
        marks.push(shape("line", { x1: x(onset), x2: x(onset), y1: mid - 4, y2: LANE.agentEnd, class: "onset" }));
        if (turn.cut_in) {
          marks.push(shape("rect", { x: x(first), y: mid, width: Math.max(3, x(last) - x(first)), height: 6, class: "alert" }));
          label(x(last) + 5, mid + 8, "cut in", "alert-words");
        } else {
          marks.push(shape("rect", { x: x(first), y: mid, width: Math.max(2, x(last) - x(first)), height: 6, rx: 3, class: "wait" }));
          label((x(first) + x(last)) / 2, mid + 21, ms(turn.v2v_ms), "wait-words", "middle", 58);
        }
      }
    } else if (turn.missed) {
      const end = Math.min(turn.ended_s + 4, lengthOf(call));
      marks.push(shape("rect", { x: x(turn.ended_s), y: mid, width: Math.max(3, x(end) - x(turn.ended_s)), height: 6, class: "alert" }));
      label(x(turn.ended_s) + 3, mid + 21, "no answer", "alert-words", "start", 60);
    }
    if (turn.stop_ms !== null && turn.stopped) {
      const at = turn.began_s + turn.stop_ms / 1000;
      marks.push(shape("path", { d: `M${x(at) - 1.5} ${LANE.agent - 4}V${LANE.agentEnd + 2}M${x(at) + 1.5} ${LANE.agent - 4}V${LANE.agentEnd + 2}`, class: "stopped" }));
      label(x(at) + 5, LANE.agentEnd + 14, `stopped after ${ms(turn.stop_ms)}`, "stop-words", "start", 120);
    }
  }
  if (call.greeting_ms !== null) {
    const at = call.greeting_ms / 1000;
    marks.push(shape("line", { x1: x(at), x2: x(at), y1: LANE.agent, y2: LANE.agentEnd, class: "onset" }));
    label(x(at) + 4, LANE.agentEnd + 14, `greeting after ${ms(call.greeting_ms)}`, "", "start", 150);
  }
  parts.push(...spans.filter(Boolean));
  for (const [who, middle, half] of lanes) {
    if (peaks) parts.push(shape("path", { d: wave(peaks[who], peaks.loudest, call.peaks.step_s, from, to, width, middle, half), class: `wave ${who}` }));
    parts.push(shape("line", { x1: 0, x2: width, y1: middle, y2: middle, class: "rule" }));
  }
  parts.push(...marks);
  const head = shape("g", { id: "head" });
  head.append(shape("line", { y1: 18, y2: LANE.height, class: "playhead" }), shape("path", { d: "M-6 10h12l-6 9z", class: "playhead-grip" }));
  parts.push(head);
  view.replaceChildren(...parts);
  place();

  function box(first_s, last_s, top, bottom, style) {
    if (last_s < from || first_s > to) return null;
    const [left, right] = [Math.max(-8, x(first_s)), Math.min(width + 8, x(last_s))];
    return shape("rect", { x: left, y: top, width: Math.max(2, right - left), height: bottom - top, class: style });
  }
  function words(first_s, last_s, y, text) {
    const [left, right] = [Math.max(2, x(first_s)), Math.min(width, x(last_s))];
    const letters = Math.floor((right - left - 10) / 6.3);
    if (letters < 3 || !text) return;
    marks.push(shape("text", { x: left + 6, y, class: "span-words" }, text.length > letters ? `${text.slice(0, letters - 1)}…` : text));
  }
  function label(at, y, text, style, anchor = "start", room = 0) {
    /* Words that would lie over the ones before are left out until one zooms in. */
    const key = `${y}`;
    label.ends ??= {};
    const start = anchor === "middle" ? at - room / 2 : at;
    if (room && start < (label.ends[key] ?? -1e9)) return;
    label.ends[key] = start + room;
    marks.push(shape("text", { x: at, y, class: style, "text-anchor": anchor }, text));
  }
}

function drawOverview() {
  const { call } = state;
  const view = find("overview");
  const width = Math.max(200, view.clientWidth);
  const length = lengthOf(call);
  view.setAttribute("viewBox", `0 0 ${width} 34`);
  const peaks = peaksOf(call);
  const parts = [];
  if (peaks) {
    parts.push(shape("path", { d: wave(peaks.caller, peaks.loudest, call.peaks.step_s, 0, length, width, 10, 8), class: "wave caller" }));
    parts.push(shape("path", { d: wave(peaks.agent, peaks.loudest, call.peaks.step_s, 0, length, width, 25, 8), class: "wave agent" }));
  } else {
    for (const turn of call.turns) {
      const scale = width / length;
      parts.push(shape("rect", { x: turn.began_s * scale, y: 6, width: (turn.ended_s - turn.began_s) * scale, height: 8, class: "wave caller" }));
      if (turn.answer_began_s !== null && turn.answer_ended_s !== null) {
        parts.push(shape("rect", { x: turn.answer_began_s * scale, y: 20, width: (turn.answer_ended_s - turn.answer_began_s) * scale, height: 8, class: "wave agent" }));
      }
    }
  }
  parts.push(shape("rect", { id: "window", y: 1, height: 32, class: "window" }), shape("line", { id: "tick", y1: 0, y2: 34, class: "playhead" }));
  view.replaceChildren(...parts);
}

function place() {
  const { call, from, to, at } = state;
  const length = lengthOf(call);
  const width = Math.max(200, find("timeline").clientWidth);
  find("head").setAttribute("transform", `translate(${(((at - from) / (to - from)) * width).toFixed(1)} 0)`);
  find("tick").setAttribute("x1", (at / length) * width);
  find("tick").setAttribute("x2", (at / length) * width);
  find("window").setAttribute("x", (from / length) * width);
  find("window").setAttribute("width", Math.max(3, ((to - from) / length) * width));
  find("clock").textContent = `${clock(at)} / ${clock(length)}`;
  const view = find("timeline");
  view.setAttribute("aria-valuemax", length.toFixed(1));
  view.setAttribute("aria-valuenow", at.toFixed(1));
  let now = null;
  for (const entry of find("transcript").children) {
    const playing = at >= Number(entry.dataset.from) - 0.02 && at < Number(entry.dataset.to);
    entry.classList.toggle("now", playing);
    if (playing) now = entry;
  }
  view.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${length.toFixed(1)} seconds${now ? `, ${now.dataset.who} speaking` : ""}`);
  return now;
}

function look(from, to) {
  const length = lengthOf(state.call);
  const span = clamp(to - from, 0.4, length);
  state.from = clamp(from, 0, length - span);
  state.to = state.from + span;
  draw();
}
function zoom(factor, around = (state.from + state.to) / 2) {
  look(around - (around - state.from) * factor, around + (state.to - around) * factor);
}
function seek(at_s, follow = true) {
  const length = lengthOf(state.call);
  state.at = clamp(at_s, 0, length);
  const audio = find("audio");
  if (state.call.audio) audio.currentTime = Math.min(state.at, audio.duration || state.at);
  if (follow && (state.at < state.from || state.at > state.to)) {
    const span = state.to - state.from;
    look(state.at - span * 0.15, state.at + span * 0.85);
  } else place();
}
function run() {
  const audio = find("audio");
  state.at = audio.currentTime;
  const span = state.to - state.from;
  if (state.at > state.to - span * 0.04 || state.at < state.from) look(state.at - span * 0.1, state.at + span * 0.9);
  const now = place();
  if (now) {
    const list = find("transcript");
    if (now.offsetTop < list.scrollTop || now.offsetTop + now.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = now.offsetTop - 40;
  }
  if (!audio.paused) state.frame = requestAnimationFrame(run);
}
function toggle() {
  const audio = find("audio");
  if (!state.call.audio) return;
  if (audio.paused) audio.play();
  else audio.pause();
}

function transcribe(call) {
  const rows = [];
  if (call.greeting_ms !== null) rows.push(["agent", call.greeting_ms / 1000, call.turns.length ? call.turns[0].began_s : call.duration_s, ["greeting"], null, null]);
  for (const turn of call.turns) {
    const said = turn.said ?? `(${turn.kind})`;
    const heard = [];
    if (turn.heard_words.length) heard.push("heard: ", ...turn.heard_words.flatMap(([word, same]) => [same ? word : element("mark", {}, word), " "]));
    rows.push(["caller", turn.began_s, turn.ended_s, [turn.kind === "keys" ? `keys ${said}` : said], heard, turn]);
    if (turn.missed) rows.push(["agent", turn.ended_s, turn.ended_s, ["(no answer)"], null, turn]);
    else if (turn.answer_began_s !== null) {
      const back = turn.recognised ? [`recognised: ${turn.recognised}`] : [];
      rows.push(["agent", turn.answer_began_s, turn.answer_ended_s ?? turn.answer_began_s, [turn.answer || "(words not told)"], back, turn]);
    }
  }
  rows.sort((a, b) => a[1] - b[1]);
  find("transcript").replaceChildren(
    ...rows.map(([who, from, to, said, also, turn]) => {
      const words = element("span", { class: "words", dir: "auto" }, ...said);
      if (also && also.length) words.append(element("span", { class: "also" }, ...also));
      const button = element("button", { type: "button" }, element("time", {}, clock(from)), element("span", { class: "who" }, who), words);
      button.addEventListener("click", () => {
        if (turn) choose(turn, false);
        seek(from);
      });
      return element("li", { class: who, "data-from": from, "data-to": to, "data-who": who }, button);
    }),
  );
}

function choose(turn, move = true) {
  state.turn = turn;
  for (const row of document.querySelectorAll("#turn-table tr.chosen")) row.classList.remove("chosen");
  const link = document.querySelector(`#turn-table a[href="#call-${state.call.call}-turn-${turn.part}"]`);
  if (link) link.closest("tr").classList.add("chosen");
  find("turn-title").textContent = `Turn ${state.call.call}.${turn.part}`;
  const numbers = element("dl", { class: "numbers" });
  for (const [name, value] of [["voice to voice", turn.v2v_ms], ["first answer", turn.first_answer_ms], ["agent’s clock", turn.inside_ms], ["stopped after", turn.stop_ms], ["both at once", turn.talk_over_ms || null], ["dead air", turn.dead_air_ms || null]]) {
    if (value !== null) numbers.append(element("div", {}, element("dt", {}, name), element("dd", {}, ms(value))));
  }
  const bars = element("div", { class: "bars" });
  const stages = Object.keys(turn.stages_ms);
  const told = stages.reduce((sum, name) => sum + turn.stages_ms[name], 0);
  const inside = turn.inside_ms ?? told;
  const end = Math.max(told, turn.v2v_ms ?? 0, 1);
  let reached = 0;
  const bar = (name, from, took, style) => {
    const drawn = shape("svg", { viewBox: "0 0 100 14", preserveAspectRatio: "none", class: "chart", "aria-hidden": "true" });
    drawn.append(shape("rect", { x: (100 * from) / end, y: 1, width: Math.max(0.6, (100 * took) / end), height: 12, class: `bar ${style}` }));
    bars.append(element("span", {}, name), drawn, element("b", {}, ms(took)));
  };
  stages.forEach((name) => {
    bar(data.stage_names[name] ?? name, reached, turn.stages_ms[name], `s${Math.max(0, data.stages.indexOf(name)) % 8}`);
    reached += turn.stages_ms[name];
  });
  if (stages.length && turn.v2v_ms > inside) bar("wire, buffers, codecs", inside, turn.v2v_ms - inside, "wire");
  const verdicts = element("ul", { class: "verdicts" });
  for (const verdict of turn.verdicts) verdicts.append(element("li", {}, element("span", {}, verdict.words), badge(verdict.met ? "good" : "bad", verdict.value)));
  find("turn-body").replaceChildren(numbers, bars, verdicts);
  if (move) {
    const last = turn.answer_ended_s ?? turn.ended_s + 2;
    seek(Math.max(0, turn.began_s - 0.15), false);
    look(turn.began_s - 0.8, Math.min(last + 0.8, turn.ended_s + 6));
  } else draw();
}

function open(call, part = null) {
  const audio = find("audio");
  audio.pause();
  state.call = call;
  state.turn = null;
  state.at = 0;
  state.from = 0;
  state.to = lengthOf(call);
  find("which").value = String(call.call);
  find("call-badge").replaceChildren(badge(call.passed ? "good" : "bad", call.passed ? "passed" : call.outcome === "completed" ? "not as it should be" : call.outcome));
  find("call-facts").textContent = call.facts;
  find("play").disabled = !call.audio;
  find("sound-note").textContent = call.audio ? "" : `No sound here: ${call.audio_missing}.`;
  if (call.audio) audio.src = call.audio;
  else audio.removeAttribute("src");
  audio.playbackRate = Number(find("speed").value);
  transcribe(call);
  find("turn-title").textContent = call.turns.length ? "Turn" : "No turn took place";
  find("turn-body").replaceChildren();
  drawOverview();
  draw();
  const turn = call.turns.find((one) => one.part === part);
  if (turn) choose(turn);
  else {
    if (call.turns.length) choose(call.turns[0], false);
    look(0, lengthOf(call));
  }
}

function follow() {
  const parts = location.hash.match(/^#call-(\d+)(?:-turn-(\d+))?$/);
  if (!parts) return false;
  const call = data.calls.find((one) => one.call === Number(parts[1]));
  if (!call) return false;
  open(call, parts[2] === undefined ? null : Number(parts[2]));
  find("call").scrollIntoView();
  return true;
}

function player() {
  if (!find("player") || !data.calls.length) return;
  find("player").hidden = false;
  const groups = new Map();
  for (const call of data.calls) {
    if (!groups.has(call.scenario)) groups.set(call.scenario, element("optgroup", { label: call.scenario }));
    const mark = call.passed ? "" : " ✗";
    groups.get(call.scenario).append(element("option", { value: call.call }, `Call ${call.call}${call.title ? ` · ${call.title}` : ""}${call.audio ? "" : " · no sound"}${mark}`));
  }
  find("which").append(...groups.values());
  const step = (by) => {
    const at = data.calls.indexOf(state.call);
    open(data.calls[(at + by + data.calls.length) % data.calls.length]);
  };
  find("which").addEventListener("change", () => open(data.calls.find((call) => String(call.call) === find("which").value)));
  find("previous").addEventListener("click", () => step(-1));
  find("next").addEventListener("click", () => step(1));
  find("play").addEventListener("click", toggle);
  find("speed").addEventListener("change", () => { find("audio").playbackRate = Number(find("speed").value); });
  find("zoom-in").addEventListener("click", () => zoom(0.6));
  find("zoom-out").addEventListener("click", () => zoom(1 / 0.6));
  find("zoom-fit").addEventListener("click", () => look(0, lengthOf(state.call)));
  const audio = find("audio");
  for (const [event, playing] of [["play", true], ["pause", false], ["ended", false]]) {
    audio.addEventListener(event, () => {
      find("play").classList.toggle("playing", playing);
      find("play").setAttribute("aria-label", playing ? "Pause" : "Play");
      cancelAnimationFrame(state.frame);
      if (playing) run();
    });
  }
  const view = find("timeline");
  const timeOf = (event) => {
    const frame = view.getBoundingClientRect();
    return state.from + ((event.clientX - frame.left) / frame.width) * (state.to - state.from);
  };
  view.addEventListener("pointerdown", (event) => {
    view.setPointerCapture(event.pointerId);
    const at = timeOf(event);
    const turn = state.call.turns.find((one) => at >= one.began_s && at <= (one.answer_ended_s ?? one.ended_s));
    if (turn && turn !== state.turn) choose(turn, false);
    seek(at);
  });
  view.addEventListener("pointermove", (event) => {
    if (view.hasPointerCapture(event.pointerId)) seek(timeOf(event), false);
  });
  view.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, timeOf(event));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
      event.preventDefault();
      const by = ((event.deltaX || event.deltaY) / view.clientWidth) * (state.to - state.from);
      look(state.from + by, state.to + by);
    }
  }, { passive: false });
  view.addEventListener("keydown", (event) => {
    const length = lengthOf(state.call);
    const keys = {
      ArrowLeft: () => seek(state.at - (event.shiftKey ? 0.1 : 1)),
      ArrowRight: () => seek(state.at + (event.shiftKey ? 0.1 : 1)),
      Home: () => seek(0),
      End: () => seek(length),
      " ": toggle,
      "+": () => zoom(0.6, state.at),
      "=": () => zoom(0.6, state.at),
      "-": () => zoom(1 / 0.6, state.at),
      0: () => look(0, length),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  const overview = find("overview");
  const pan = (event) => {
    const frame = overview.getBoundingClientRect();
    const at = ((event.clientX - frame.left) / frame.width) * lengthOf(state.call);
    const half = (state.to - state.from) / 2;
    look(at - half, at + half);
  };
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    pan(event);
  });
  overview.addEventListener("pointermove", (event) => {
    if (overview.hasPointerCapture(event.pointerId)) pan(event);
  });
  new ResizeObserver(() => {
    drawOverview();
    draw();
  }).observe(view.parentElement);
  addEventListener("hashchange", follow);
  find("dots")?.addEventListener("click", (event) => {
    const mark = event.target.closest("[data-call]");
    if (mark) location.hash = `#call-${mark.dataset.call}-turn-${mark.dataset.turn}`;
  });
  if (!follow()) open(data.calls.find((call) => call.call === data.first) ?? data.calls[0]);
}

/* ---- which section is being read ---- */
function trackSections() {
  const links = new Map([...document.querySelectorAll(".sections a")].map((link) => [find(link.hash.slice(1)), link]));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-30% 0px -65% 0px" });
  for (const section of links.keys()) if (section) watch.observe(section);
}

probeLatency();
filterTurns();
player();
trackSections();
