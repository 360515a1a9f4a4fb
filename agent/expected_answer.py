"""What kind of answer the agent asked for, read from its own words. Pure; English.

A caller who tells a number or spells a name pauses between groups; one who says yes or no does
not. In other languages nothing matches and every question counts as an open one.
"""

import re
from enum import Enum


class ExpectedAnswer(Enum):
    """What the caller was asked for."""

    OPEN = "open"
    """Anything, or nothing in particular."""
    YES_NO = "yes or no"
    PHONE_NUMBER = "phone number"
    NUMBER = "number"
    """A number read out in groups: a postcode, an order number, a card, a date of birth."""
    SPELLING = "spelling"
    """Letter by letter."""
    ADDRESS = "address"
    """A street, a town, an e-mail address."""


_PHONE = re.compile(
    r"\b(?:(?:tele)?phone|mobile|cell|contact|callback|call[- ]back|fax) ?number\b"
    r"|\bnumber\b[^.?!]*\b(?:reach|call|text|ring) (?:you|back)\b"
    r"|\bwhat(?: i|')s (?:the best|a good) number\b"
)
_SPELLING = re.compile(r"\b(?:spell(?:ing|ed|t)?|letter by letter)\b")
_ADDRESS = re.compile(
    r"\b(?:e-?mail|(?:street|home|postal|mailing|billing|delivery|shipping|your|the|full)"
    r"(?: [\w-]+)? address|address (?:please|again)|where do you live)\b"
)
_NUMBER = re.compile(
    r"\b(?:numbers?|digits?|zip|post ?code|postal code|date of birth|birth ?date|birthday|pin"
    r"|expiry|expiration|security code|cvv|what(?: is|'s)(?: your| the)(?: [\w-]+){0,2} code)\b"
)
_TELLS_IT = re.compile(
    r"\b(?:(?:is|was|has been) (?:\w+ )?[\d+]|(?:call|dial|ring|text)(?: us)? (?:on|at|under)?)"
)
_ASKS_FOR = re.compile(
    r"\?|\b(?:what|which|please|tell me|give me|say|spell|read|may i have|can i have|could i have"
    r"|could you|can you|i(?: wi|')ll need|i need|we need|let me have|confirm)\b"
)
_YES_NO = re.compile(
    r"^(?:(?:and|so|but|okay|ok|great|thanks?|thank you|alright|then|sorry|well)[,. ]+)*"
    r"(?:is|are|was|were|do|does|did|have|has|had|will|would|shall|should|may|can|could|am|isn't"
    r"|aren't|don't|doesn't|won't|wouldn't|shouldn't|right|correct|ready|anything else)\b"
)
_TAG = re.compile(r"\b(?:right|correct|okay|ok|is that so|yes or no|isn't it|is that)\?\s*$")
_CHOICE = re.compile(r"\bor\b(?! not\b)(?! no\b)")
_WH = re.compile(r"\b(?:what|which|who|whom|whose|when|where|why|how)\b")
_SENTENCE = re.compile(r"[^.?!]+[.?!]*")


def expected_answer(agent_text: str) -> ExpectedAnswer:
    """The kind of answer to the last question, or request, in ``agent_text``."""
    sentences = [s.strip() for s in _SENTENCE.findall(agent_text.lower().replace("’", "'"))]
    asking = [s for s in sentences if _ASKS_FOR.search(s)]
    if not asking:
        return ExpectedAnswer.OPEN
    questions = [s for s in asking if s.endswith("?")]
    # "May I have your number? I will read it back": the question stands, wherever it is.
    asked = (questions or asking)[-1]
    if not _TELLS_IT.search(asked):
        for kind, words in (
            (ExpectedAnswer.SPELLING, _SPELLING),
            (ExpectedAnswer.PHONE_NUMBER, _PHONE),
            (ExpectedAnswer.ADDRESS, _ADDRESS),
            (ExpectedAnswer.NUMBER, _NUMBER),
        ):
            if words.search(asked) and not _answered_by_yes(asked):
                return kind
    if asked.endswith("?") and (
        _TAG.search(asked)
        or (_YES_NO.search(asked) and not _CHOICE.search(asked) and not _asks_to_tell(asked))
    ):
        return ExpectedAnswer.YES_NO
    return ExpectedAnswer.OPEN


def _answered_by_yes(asked: str) -> bool:
    """ "Is this your phone number?" wants no number; "Can I have your phone number?" does."""
    return bool(
        _TAG.search(asked)
        or re.search(
            r"^(?:\w+[, ]+)?(?:is|are|was|were|does|did|has|had|do you (?!know|remember)"
            r"|have you|shall|should|would you like)\b",
            asked,
        )
    ) and not _WH.search(asked)


def _asks_to_tell(asked: str) -> bool:
    """ "Can you tell me ..." is answered by telling."""
    return bool(
        re.search(
            r"^(?:\w+[, ]+)*?(?:can|could|may|would|will) (?:you|i|we) (?:please |just )?"
            r"(?:tell|give|say|describe|explain|have|get|ask|repeat|help|do|assist)\b",
            asked,
        )
    )
