"""Token bytes -> text that may be spoken: whole characters, and no thoughts. Pure."""

import codecs

OPENING, CLOSING = "<think>", "</think>"


def _tail_that_may_begin(tag: str, text: str) -> int:
    """Length of the longest end of ``text`` that is a proper beginning of ``tag``."""
    lengths = range(min(len(tag) - 1, len(text)), 0, -1)
    return next((n for n in lengths if text.endswith(tag[:n])), 0)


class ThoughtFilter:
    """Drops ``<think>…</think>`` from text that arrives in pieces.

    A thought left open runs to the end. Blank space around a thought goes with it; so does
    a lone ``</think>``, which some models write after a template that opened the thought.
    """

    def __init__(self, thinking: bool = False) -> None:
        self._held = ""
        self._thinking = thinking
        self._spoke = False

    def feed(self, text: str) -> str:
        """Takes the next piece and returns what may be spoken now."""
        self._held += text
        spoken: list[str] = []
        while self._step(spoken):
            pass
        return self._trim("".join(spoken))

    def end(self) -> str:
        """What was held back in case it began a tag."""
        rest = "" if self._thinking else self._held
        self._held = ""
        return self._trim(rest)

    def _step(self, spoken: list[str]) -> bool:
        """Consumes up to the next tag; False when more text is needed."""
        tags = (CLOSING,) if self._thinking else (OPENING, CLOSING)
        found = [(at, tag) for tag in tags if (at := self._held.find(tag)) >= 0]
        if found:
            at, tag = min(found)
        else:
            tag = ""
            at = len(self._held) - max(_tail_that_may_begin(t, self._held) for t in tags)
        if not self._thinking:
            spoken.append(self._held[:at])
        self._held = self._held[at + len(tag) :]
        if tag:
            self._thinking = tag == OPENING
        return bool(tag)

    def _trim(self, text: str) -> str:
        if not self._spoke:
            text = text.lstrip()
            self._spoke = bool(text)
        return text


class SpokenText:
    """One answer's bytes -> text pieces that never split a character and hold no thought."""

    def __init__(self, thinking: bool = False) -> None:
        """``thinking``: the prompt ended in the middle of a thought."""
        # Bytes that are no UTF-8 at all cannot be spoken, so they are left out.
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._filter = ThoughtFilter(thinking)

    def feed(self, piece: bytes) -> str:
        """Takes the next token's bytes; returns the text that is now whole, often empty."""
        return self._filter.feed(self._decoder.decode(piece))

    def end(self) -> str:
        """The rest, once no more bytes will come."""
        last = self._filter.feed(self._decoder.decode(b"", final=True))
        return last + self._filter.end()
