"""Which numbers a trunk may dial: a list of rules, and nothing but what it allows. Pure.

A rule is an international prefix (``+1``, ``+44207``), or a whole number as it is dialled
(``200``, ``112``), where ``X`` stands for any digit and a final ``.`` for whatever follows.
``!`` before it forbids. The rule that says most decides.

A number without ``+`` may be an international one all the same: after ``00`` or ``011``, after the
digits that a rule such as ``9.`` gives for an outside line, or as it stands. It is judged by all
that it may be.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

COSTLY = tuple(
    # Satellite, shared-cost and premium services that belong to no country (ITU-T E.164).
    "+808 +870 +878 +881 +882 +883 +979"
    # Premium and revenue-sharing services within a country's code.
    " +1900 +31900 +31906 +31909 +3290 +3389 +34803 +34806 +34807 +34905 +3989 +41900 +41901"
    " +41906 +43900 +43901 +43930 +43931 +449 +4470 +4484 +4487 +46900 +46939 +46944 +4782"
    " +49137 +49900 +6119 +81990"
    # Islands that share the code of North America at many times its price.
    " +1242 +1246 +1264 +1268 +1284 +1345 +1441 +1473 +1649 +1658 +1664 +1721 +1758 +1767 +1784"
    " +1809 +1829 +1849 +1868 +1869 +1876".split()
)
"""Prefixes that a shorter rule does not open; far from all there are."""

EMERGENCY = frozenset(
    "000 110 111 112 113 114 115 116 117 118 119 120 122 123 133 144 190 191 192 193 194 911 933"
    " 991 992 993 994 995 996 997 998 999".split()
)
"""Only a rule that is the number itself opens these: an agent has no business there."""

_INTERNATIONAL_PREFIXES = ("00", "011")
_LOCAL_IN_NORTH_AMERICA = re.compile(r"[2-9][0-9]{2}[2-9][0-9]{6}")

_RULE = re.compile(r"!?(\+[1-9][0-9]{0,14}\.?|[0-9*#X]{1,20}\.?)")


@dataclass(frozen=True, slots=True)
class _Rule:
    text: str
    allows: bool
    pattern: str
    open_ended: bool

    @classmethod
    def read(cls, text: str) -> "_Rule":
        pattern = text.removeprefix("!").removesuffix(".")
        is_open = text.endswith(".") or pattern.startswith("+")
        return cls(text, not text.startswith("!"), pattern, is_open)

    def matches(self, number: str) -> bool:
        expression = re.escape(self.pattern).replace("X", "[0-9]")
        rest = "[0-9*#]*" if self.open_ended else ""
        return re.fullmatch(expression + rest, number) is not None

    @property
    def is_whole(self) -> bool:
        """Whether it is one number alone."""
        return not self.open_ended and "X" not in self.pattern

    @property
    def said(self) -> str:
        """The digits it names before those it leaves open."""
        return self.pattern.partition("X")[0]

    def weight(self) -> tuple[int, bool, bool]:
        """The longer rule says more; of two as long the whole number, then the ban."""
        return len(self.pattern), not self.open_ended, not self.allows


def rule_fault(text: str) -> str:
    """What is wrong with ``text`` as a rule; empty: nothing."""
    if _RULE.fullmatch(text):
        return ""
    return (
        "must be an international prefix such as +1 or +44207, or a whole number such as 200, "
        "where X is any digit and a final . whatever follows; ! before it forbids"
    )


@dataclass(frozen=True, slots=True)
class Ban:
    """Why a number may not be dialled."""

    reason: str
    missing_rule: str
    """The narrowest rule that would open it; empty: a rule forbids it."""


def ban_on(number: str, rules: Sequence[str]) -> Ban | None:
    """Why ``number``, normalised, may not be dialled; None: it may."""
    if not rules:
        return Ban("nothing may be dialled that is not listed", number)
    if number in EMERGENCY and number not in rules:
        return Ban("it is an emergency number, which opens to no other rule than itself", number)
    best = _best(number, rules)
    if best is None:
        international = f"+{number}"
        if len(number) >= 8 and _best(international, rules) is not None:
            return Ban(f"no rule allows it, but one allows {international}", number)
        return Ban("no rule allows it", number)
    if not best.allows:
        return Ban(f"the rule {best.text!r} forbids it", "")
    if number.startswith("+"):
        return _costly_ban(number, 1, best)
    return None if best.is_whole else _hidden_ban(number, best, rules)


def _hidden_ban(number: str, best: _Rule, rules: Sequence[str]) -> Ban | None:
    """Why what ``number``, without ``+``, may be besides itself may not be dialled."""
    if best.open_ended and best.said == best.pattern:
        for at in range(1, len(best.pattern) + 1):
            if number[at:] in EMERGENCY:
                return Ban(
                    f"it may be the emergency number {number[at:]} behind {number[:at]}, which "
                    "opens to no other rule than itself",
                    number,
                )
    last = len(best.pattern if best.open_ended else best.said)
    for at in _beginnings(number, last):
        forbidding = _best(f"+{number[at:]}", rules)
        if forbidding is not None and not forbidding.allows:
            return Ban(f"the rule {forbidding.text!r} forbids +{number[at:]}", "")
        if (ban := _costly_ban(number, at, best)) is not None:
            return ban
    return None


def _costly_ban(number: str, at: int, best: _Rule) -> Ban | None:
    """Why the international number that begins at ``at``, behind its ``+``, may not be dialled."""
    international = f"+{number[at:]}"
    costly = max((p for p in COSTLY if international.startswith(p)), key=len, default="")
    # The rule must name the costly prefix, and what stands before it.
    if not costly or len(best.said) >= at + len(costly) - 1:
        return None
    missing_rule = costly if number.startswith("+") else number
    return Ban(f"{costly} costs much, and the rule {best.text!r} does not open it", missing_rule)


def _beginnings(number: str, last: int) -> list[int]:
    """Where an international number may begin in one without ``+``, up to ``last``."""
    found = []
    for at in range(last + 1):
        rest = number[at:]
        if _may_be_international(rest):
            found.append(at)
        for prefix in _INTERNATIONAL_PREFIXES:
            if rest.startswith(prefix) and rest.removeprefix(prefix).isdigit():
                found.append(at + len(prefix))
    return found


def _may_be_international(digits: str) -> bool:
    if not digits.isdigit() or not 9 <= len(digits) <= 15:
        return False
    if digits.startswith("1"):
        return len(digits) == 11
    return not _LOCAL_IN_NORTH_AMERICA.fullmatch(digits)


def _best(number: str, rules: Sequence[str]) -> _Rule | None:
    found = [rule for rule in map(_Rule.read, rules) if rule.matches(number)]
    return max(found, key=_Rule.weight, default=None)
