"""What a stranger says of a call, made fit for logs and records. Pure."""

MAX_SHOWN = 128
"""Characters; names and numbers of any use are shorter."""


def shown(text: str) -> str:
    """``text`` on one line: of bounded length, and without what a terminal or a log obeys."""
    cut = text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cut)
