"""From the model's stream of text to clauses that can be spoken. Pure and incremental.

``ThoughtFilter`` drops what a thinking model thinks, ``Clauses`` cuts the rest where a
speaker would breathe, and ``speakable`` writes each clause as words. All three take time
linear in the text, whatever the text.
"""

import re

from agent.speakable import speakable

__all__ = ["Clauses", "ThoughtFilter", "speakable"]

_ENDS = "!?。！？"
_DOTS = ".…"
_CLOSERS = "\"'”’)]»*_"
_PAIRS = (("“", "”"), ("(", ")"), ("[", "]"), ("«", "»"))
_PAUSES = ",;:"
_DASHES = "-–—"

_NEVER_ENDS = frozenset(
    "dr mr mrs ms prof rev hon gen sgt col capt lt st mt ft vs e.g i.e cf no nos vol fig approx "
    "dept est gov sen rep messrs mme jan feb mar apr aug sept oct nov dec".split()
)
"""Abbreviations that something follows."""
_MAY_END = frozenset("a.m p.m etc inc ltd co corp jr sr al ph.d m.d b.a".split())
"""Abbreviations that end a sentence where a capital follows."""
_OPENERS = frozenset(
    "sure|yes|yeah|no|okay|ok|alright|right|great|perfect|wonderful|certainly|absolutely|sorry"
    "|thanks|thank you|of course|no problem|all right|i see|i'm sorry|i am sorry|my pleasure"
    "|good question".split("|")
)
"""Words that stand alone before a comma: half a second of speech, in which the next clause
is made."""


class Clauses:
    """Cuts streamed text into clauses, each as soon as it is known to be complete.

    A sentence's end always cuts. A comma, semicolon, colon or dash cuts once the clause is
    long enough: soon for the first, so that speech starts early, later for the others, so
    that it flows. A clause never exceeds ``longest`` characters.

    The first clause goes out with its full stop or comma where a plain word stands before it,
    and with "Sure," alone. After a digit, an abbreviation or an initial, inside quotes, and
    in later clauses, which nobody waits for in silence, the next character decides.
    """

    def __init__(
        self,
        first_words: int = 3,
        first_characters: int = 12,
        later_words: int = 8,
        later_characters: int = 45,
        longest: int = 220,
    ) -> None:
        self._first = (first_words, first_characters)
        self._later = (later_words, later_characters)
        self._longest = longest
        self._given = 0
        self._text = ""
        self._scanned = 0
        """Up to here no cut was found in ``_text``."""
        self._cut_early = False
        """The clause before went out with its full stop: more stops and quotes belong to it."""

    def feed(self, delta: str) -> list[str]:
        """The clauses that ``delta`` completed, in order; pieces without a word are dropped."""
        self._text += delta
        return self._take(final=False)

    def flush(self) -> list[str]:
        """What is left at the end of the answer, and starts anew."""
        clauses = self._take(final=True)
        self._given = 0
        self._cut_early = False
        return clauses

    def _take(self, final: bool) -> list[str]:
        text, start, at = self._text, 0, self._scanned
        if self._cut_early and text:
            start = at = _skip(text, 0, _ENDS + _DOTS + _CLOSERS)
            self._cut_early = start == len(text)
        clauses: list[str] = []
        while at < len(text):
            cut, at = self._look(text, start, at, final)
            if cut is None:
                break
            if cut:
                self._give(text[start:at], clauses)
                start = at
        if final:
            self._give(text[start:], clauses)
            start = at = len(text)
        self._text, self._scanned = text[start:], at - start
        return clauses

    def _give(self, piece: str, clauses: list[str]) -> None:
        if any(character.isalnum() for character in piece):
            clauses.append(piece.strip())
            self._given += 1

    def _look(self, text: str, start: int, at: int, final: bool) -> tuple[bool | None, int]:
        """(whether to cut, where to go on); None: what follows ``at`` must come first."""
        character = text[at]
        if at - start >= self._longest:
            space = max(text.rfind(" ", start + 1, at), text.rfind("\t", start + 1, at))
            return True, space if space > start else at
        if character == "\n":
            return True, at + 1
        if character in _ENDS:
            after = _skip(text, at, _ENDS + _DOTS + _CLOSERS)
            return after == len(text) or text[after].isspace() or character in "。！？", after
        if character in _DOTS:
            return self._look_at_dot(text, start, at, final)
        if character in _PAUSES or character in _DASHES:
            return self._look_at_pause(text, start, at, final)
        return False, at + 1

    def _look_at_dot(self, text: str, start: int, at: int, final: bool) -> tuple[bool | None, int]:
        dots = _skip(text, at, _DOTS)
        after = _skip(text, dots, _ENDS + _CLOSERS)
        if after == len(text):
            if final or after - start >= self._longest:
                return True, after
            plain = _is_plain(text, start, at) and not _is_abbreviation(text, start, at)
            if not self._given and text[at:] == "." and plain:
                self._cut_early = True
                return True, after
            return None, at
        if not text[after].isspace():
            return False, after
        ellipsis = dots > at + 1 or text[at] == "…"
        if not ellipsis:
            word = _word_before(text, start, at)
            if word not in _MAY_END:
                goes_on = word in _NEVER_ENDS or _is_initial(word)
                return not (goes_on or _is_list_number(text, start, at)), after
        following = _skip_space(text, after)
        if following == len(text) and not final and following - start < self._longest:
            return None, at
        is_end = following == len(text) or not text[following].islower()
        return is_end or (ellipsis and self._is_long_enough(text, start, after)), after

    def _look_at_pause(
        self, text: str, start: int, at: int, final: bool
    ) -> tuple[bool | None, int]:
        dash = text[at] in _DASHES
        if dash and text[at] != "—" and not text[start:at][-1:].isspace():
            return False, at + 1
        if at + 1 == len(text) and text[at] != "—" and not final:
            # No number goes on here, and no time of day.
            sure = not dash and not self._given and _is_plain(text, start, at)
            return (True, at + 1) if sure and self._may_pause(text, start, at) else (None, at)
        spaced = text[at] == "—" or text[at + 1 : at + 2].isspace()
        return spaced and self._may_pause(text, start, at), at + 1

    def _may_pause(self, text: str, start: int, at: int) -> bool:
        if self._is_long_enough(text, start, at):
            return True
        return not self._given and text[at] == "," and _bare(text[start:at]) in _OPENERS

    def _is_long_enough(self, text: str, start: int, at: int) -> bool:
        words, characters = self._later if self._given else self._first
        return at - start >= characters and len(text[start:at].split()) >= words


class ThoughtFilter:
    """Removes ``<think>``..``</think>`` and ``<thinking>`` spans, wherever the stream is cut.

    A span that is never closed is dropped to the end. ``inside``: the prompt already
    opened one.
    """

    _TAG = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
    _LONGEST = len("</thinking>")

    def __init__(self, inside: bool = False) -> None:
        self._inside = inside
        self._held = ""

    def feed(self, delta: str) -> str:
        """The part of the stream that is now known to be no thought."""
        text, at, kept = self._held + delta, 0, []
        for tag in self._TAG.finditer(text):
            if not self._inside:
                kept.append(text[at : tag.start()])
            self._inside = not tag[1]
            at = tag.end()
        tail = self._possible_tag(text, at)
        if not self._inside:
            kept.append(text[at:tail])
        self._held = text[tail:]
        return "".join(kept)

    def flush(self) -> str:
        """What was held back as the possible beginning of a tag."""
        rest = "" if self._inside else self._held
        self._held = ""
        return rest

    def _possible_tag(self, text: str, start: int) -> int:
        """Where a tag may have begun that the next piece would complete."""
        begin = text.rfind("<", max(start, len(text) - self._LONGEST + 1))
        if begin < 0:
            return len(text)
        piece = text[begin:].lower()
        begun = "</thinking>".startswith(piece) or "<thinking>".startswith(piece)
        begun = begun or "</think>".startswith(piece) or "<think>".startswith(piece)
        return begin if begun else len(text)


def _skip(text: str, at: int, characters: str) -> int:
    while at < len(text) and text[at] in characters:
        at += 1
    return at


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _word_before(text: str, start: int, at: int) -> str:
    begin = at
    while begin > start and (text[begin - 1].isalpha() or text[begin - 1] == "."):
        begin -= 1
    return text[begin:at].lower()


def _is_plain(text: str, start: int, at: int) -> bool:
    """Whether ``at`` comes after letters alone, and no quote or bracket is open."""
    clause = text[start:at]
    if clause.count('"') % 2 or any(clause.count(a) > clause.count(b) for a, b in _PAIRS):
        return False
    return _bare(clause.rpartition(" ")[2]).replace("'", "").replace("-", "").isalpha()


def _is_abbreviation(text: str, start: int, at: int) -> bool:
    word = _word_before(text, start, at)
    return word in _NEVER_ENDS or word in _MAY_END or _is_initial(word)


def _bare(words: str) -> str:
    return words.strip().lower().replace("’", "'")


def _is_initial(word: str) -> bool:
    """``J`` of ``J. Smith``; but a sentence may well end in ``I``."""
    return (len(word) == 1 and word != "i") or re.fullmatch(r"\w(?:\.\w)+", word) is not None


def _is_list_number(text: str, start: int, at: int) -> bool:
    return text[start:at].strip().isdigit()
