"""How the words so far end: as a sentence does, within a number, or on a word that leads on. Pure.

English. In other languages only the recogniser's punctuation says something.
"""

import re
from dataclasses import dataclass
from enum import Enum


class EndingKind(Enum):
    """The last thing that was said."""

    NOTHING = "nothing"
    """No words: a noise, or speech that the recogniser made nothing of."""
    LEADS_ON = "leads on"
    """ "and", "the", "um", a broken-off word: the speaker has more to say."""
    OPEN = "open"
    """Words without an end that one could hear."""
    NUMBER = "number"
    """A digit, a number or a spelled letter: another may follow."""
    SENTENCE = "sentence"
    """The recogniser heard an end."""
    QUESTION = "question"
    """It heard a question."""
    UNKNOWN = "unknown"
    """Words in a language of which nothing is known, without punctuation."""
    SHORT_ANSWER = "short answer"
    """ "Yes", "no thanks", "that's right": nothing else was said."""


@dataclass(frozen=True, slots=True)
class Ending:
    """``symbols``: digits and letters told in a row at the end, two for each of "nineteen
    twelve"."""

    kind: EndingKind
    symbols: int = 0


_UNITS = "zero oh o one two three four five six seven eight nine".split()
_TEENS = (
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty "
    "forty fifty sixty seventy eighty ninety"
).split()
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth"
).split()
_TELLING = 3
"""So many symbols in a row are told; "a table for two at seven" tells none."""
_FILLING = {"double", "triple", "and", "dash", "hyphen", "area", "code", "plus"}
"""Said between the symbols of a number."""
_LEADS_ON = frozenset(
    # Articles, possessives and other determiners.
    "a an the my your his its our their this these some any every each another "
    # Conjunctions.
    "and or but because although if unless whereas whether "
    # Prepositions that seldom end a sentence.
    "of with from for at by to into onto than as between per without about like "
    # Verbs that need what follows.
    "is are was were am i'm it's that's i'd i'll we're you're they're there's let's "
    "want need wanna gonna gotta would could should will can get give make bring send put "
    # Pronouns that begin a clause, or that a verb gives something to.
    "i we they he she "
    # Adverbs.
    "very really also just "
    # Hesitation.
    "um uh er erm hmm mm uhm ah eh well so".split()
)
_LEAD_ON_TOGETHER = frozenset(
    {f"{verb} {whom}" for verb in ("give", "get", "make", "bring", "send") for whom in ("me", "us")}
    | {"would like", "i'd like", "we'd like", "i like", "you have", "i have", "i mean", "such as"}
)
"""Pairs of words that lead on where the last alone would not."""
_HESITATIONS = frozenset("um uh er erm hmm uhm hm".split())
_ENDS_A_QUESTION = frozenset(
    "of with from for at by to into about like is are was were am can would could should will "
    "this these any i we they he she want need".split()
)
"""Lead on in a statement; "where are you from" is whole."""
_ASKS = re.compile(r"^(?:\w+ )?(?:who|what|which|where|when|why|how)\b")
_SHORT_ANSWERS = frozenset(
    (
        "yes,yeah,yep,yup,no,nope,nah,sure,okay,ok,right,correct,exactly,absolutely,definitely,"
        "certainly,fine,great,good,perfect,never,maybe,perhaps,stop,help,wait,cancel,hello,hi,"
        "hey,goodbye,bye,bye bye,thanks,thank you,thank you very much,yes please,no thanks,"
        "no thank you,of course,all right,alright,that's right,that is right,that's correct,"
        "that is correct,that's fine,that's it,that's all,that is all,not really,not at all,"
        "i do,i don't,i am,i'm not,it is,it isn't,it was,they are,i have,i haven't,i did,"
        "i didn't,i will,i won't,please do,go ahead,sounds good,yes it is,yes i do,yes i am,"
        "yes that's right,no it isn't,no i don't,no i'm not,i don't know,i'm not sure"
    ).split(",")
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*", re.UNICODE)
_BREAKS_OFF = re.compile(r"(?:\.\.\.|…|[-–—,])[\"'”’)]*$")
_ENDS = re.compile(r"[.!。！][\"'”’)]*$")
_ASKED = re.compile(r"[?？][\"'”’)]*$")


def ending(text: str, language: str = "en") -> Ending:
    """How ``text``, a transcript, ends. ``language``: a BCP 47 tag."""
    text = text.strip()
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    if not words:
        return Ending(EndingKind.NOTHING)
    if not language.lower().startswith("en"):
        kind = _by_punctuation(text)
        return Ending(EndingKind.UNKNOWN if kind is EndingKind.OPEN else kind)
    if " ".join(words) in _SHORT_ANSWERS and not _BREAKS_OFF.search(text):
        return Ending(EndingKind.SHORT_ANSWER)
    symbols = _symbols_at_end(words)
    if symbols >= _TELLING or (symbols and _only_symbols(words)):
        return Ending(EndingKind.NUMBER, symbols)
    last = words[-1]
    if last in _HESITATIONS or _BREAKS_OFF.search(text):
        return Ending(EndingKind.LEADS_ON)
    if symbols:
        return Ending(_by_punctuation(text), symbols)
    if len(words) > 1 and f"{words[-2]} {last}" in _LEAD_ON_TOGETHER:
        return Ending(EndingKind.LEADS_ON)
    asks = bool(_ASKED.search(text) or _ASKS.match(" ".join(words)))
    if last in _LEADS_ON and not (asks and last in _ENDS_A_QUESTION):
        return Ending(EndingKind.LEADS_ON)
    return Ending(_by_punctuation(text))


def _by_punctuation(text: str) -> EndingKind:
    if _BREAKS_OFF.search(text):
        return EndingKind.LEADS_ON
    if _ASKED.search(text):
        return EndingKind.QUESTION
    return EndingKind.SENTENCE if _ENDS.search(text) else EndingKind.OPEN


def _symbols_at_end(words: list[str]) -> int:
    """Digits and letters in a row at the end: what a number or a spelling is told in."""
    total = 0
    for place in range(len(words) - 1, -1, -1):
        symbols = _symbols(words[place])
        if symbols:
            total += symbols
        elif words[place] not in _FILLING or not total:
            break
    # "Plan B", "vitamin A", "you and I": one letter after words is no spelling.
    if total == 1 and len(words) > 1 and words[-1].isalpha() and len(words[-1]) == 1:
        return 0
    return total


def _only_symbols(words: list[str]) -> bool:
    return all(_symbols(word) or word in _FILLING for word in words)


def _symbols(word: str) -> int:
    if word.isdigit():
        return len(word)
    if word in _UNITS:
        return 1
    if word in _TEENS:
        return 2
    if word in _ORDINALS or re.fullmatch(r"\d+(?:st|nd|rd|th)", word):
        return 2
    return 1 if len(word) == 1 and word.isalpha() else 0
