// What a few words say of a call.

const GOOD_OUTCOMES = new Set(["resolved"]);
const BAD_CAUSES = new Set(["failed", "box stopped"]);

/** The cheapest stack whose price is known: `{stack, usd}`; null where none is. */
export function cheapest(rentedUsd) {
  const known = Object.entries(rentedUsd ?? {}).filter(([, amount]) => amount !== null);
  if (!known.length) return null;
  const [stack, amount] = known.reduce((a, b) => (Number(b[1]) < Number(a[1]) ? b : a));
  return { stack, usd: amount };
}

/** How a call stands, and whether that is as it should be: `[text, class]`. */
export function ending(call) {
  if (call.live) return ["under way", "good"];
  if (call.cause === null) return ["not known", "warn"];
  return [call.cause.replaceAll("_", " "), BAD_CAUSES.has(call.cause) ? "bad" : ""];
}

/** An outcome as a tag. */
export function outcomeTag(outcome) {
  const tag = document.createElement("span");
  tag.className = `tag ${GOOD_OUTCOMES.has(outcome) ? "good" : ""}`;
  tag.textContent = outcome;
  return tag;
}
