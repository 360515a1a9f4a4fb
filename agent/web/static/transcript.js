// The words of both sides as a conversation.

import { child } from "./element.js";
import { formatMs } from "./waterfall.js";

const NEAR_END_PX = 48;

export class Transcript {
  #list;
  #announcer;
  #empty;
  #agentName = "Agent";
  #entries = new Map();

  /**
   * @param list the visible conversation
   * @param announcer a polite log out of sight: interim words must not be read aloud,
   *   so only final ones are put there
   * @param empty shown while nothing was said
   */
  constructor(list, announcer, empty) {
    this.#list = list;
    this.#announcer = announcer;
    this.#empty = empty;
  }

  begin(agentName) {
    this.#agentName = agentName;
    this.#entries.clear();
    this.#list.replaceChildren();
    this.#announcer.replaceChildren();
    this.#empty.hidden = false;
  }

  /** `text` replaces what was shown for that side of that turn. */
  words(who, turn, text, final) {
    const entry = this.#entry(who, turn);
    this.#keepingEnd(() => {
      entry.text.textContent = text;
      entry.item.classList.toggle("interim", !final);
      this.#showCut(entry);
    });
    if (!final || text === entry.announced) return;
    entry.announced = text;
    if (text) this.#announce(`${this.#nameOf(who)}: ${text}`);
    if (entry.cut) this.#announce(`${this.#nameOf(who)} was interrupted.`);
  }

  /** The caller spoke over this answer: what is shown of it is where it was cut. */
  interrupted(turn) {
    const entry = this.#entry("agent", turn);
    entry.cut = true;
    this.#keepingEnd(() => this.#showCut(entry));
  }

  latency(turn, totalMs) {
    const entry = this.#entries.get(keyOf("agent", turn));
    if (entry && totalMs !== null) entry.meta.textContent = formatMs(totalMs);
  }

  /** Nothing more will be said: no entry stays half-spoken. */
  end() {
    for (const { item } of this.#entries.values()) item.classList.remove("interim");
  }

  #nameOf(who) {
    return who === "caller" ? "You" : this.#agentName;
  }

  #showCut(entry) {
    entry.item.classList.toggle("cut", entry.cut);
    entry.mark.hidden = !entry.cut;
    entry.mark.textContent = entry.text.textContent ? "interrupted" : "interrupted before a word";
  }

  #entry(who, turn) {
    const key = keyOf(who, turn);
    const known = this.#entries.get(key);
    if (known) return known;
    const item = document.createElement("li");
    item.className = `entry ${who}`;
    const head = child(item, "p", "entry-head");
    child(head, "span", "entry-who").textContent = this.#nameOf(who);
    const meta = child(head, "span", "entry-meta");
    const body = child(item, "p", "entry-body");
    const text = child(body, "span", "entry-text");
    text.dataset.testid = `words-${who}-${turn}`;
    body.append(" ");
    const mark = child(body, "span", "entry-mark");
    mark.hidden = true;
    const entry = { item, text, mark, meta, order: key, cut: false, announced: null };
    const later = [...this.#entries.values()]
      .filter((other) => other.order > key)
      .sort((a, b) => a.order - b.order)[0];
    this.#keepingEnd(() => this.#list.insertBefore(item, later?.item ?? null));
    this.#entries.set(key, entry);
    this.#empty.hidden = true;
    return entry;
  }

  /** Follows the conversation, unless the reader has scrolled back. */
  #keepingEnd(change) {
    const list = this.#list;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END_PX;
    change();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  #announce(sentence) {
    const line = document.createElement("p");
    line.textContent = sentence;
    this.#announcer.append(line);
    if (this.#announcer.children.length > 4) this.#announcer.firstChild.remove();
  }
}

/** Within a turn the caller speaks first. */
function keyOf(who, turn) {
  return 2 * turn + (who === "agent" ? 1 : 0);
}
