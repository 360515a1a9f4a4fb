// What is asked for, as the box takes it.

/** The fields of a search as the box takes them; empty ones ask for nothing. */
export function query(fields) {
  const asked = new URLSearchParams();
  for (const [name, value] of fields) {
    const text = value.trim();
    if (!text) continue;
    // The reader means their own clock; records are in UTC.
    const isMoment = name === "since" || name === "until";
    asked.set(name, isMoment ? new Date(text).toISOString() : text);
  }
  return asked;
}
