"""Numbers as they are written and as they are dialled; what a trunk may dial."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.destinations import COSTLY, EMERGENCY, ban_on, rule_fault
from telephony.numbers import dialled_key, normalise, user_part

E164 = st.from_regex(r"\A\+[1-9][0-9]{6,14}\Z")
KEYS = st.text("0123456789*#", min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("written", "dialled"),
    [
        ("+15551234567", "+15551234567"),
        (" +1 (555) 123-4567 ", "+15551234567"),
        ("+49.30.123456/7", "+49301234567"),
        ("+44 (0)20 7946 0000", "+442079460000"),
        ("tel:+1-555-123-4567;phone-context=x", "+15551234567"),
        ("TEL:112", "112"),
        ("sip:+15551234567@carrier.example;transport=tls", "+15551234567"),
        ("sips:%2B15551234567;npdi@10.0.0.1:5061", "+15551234567"),
        ("sip:200:secret@pbx", "200"),
        ("200", "200"),
        ("*97", "*97"),
        ("15551234567", "15551234567"),
    ],
)
def test_ways_to_write_a_number(written: str, dialled: str) -> None:
    assert normalise(written) == dialled


@pytest.mark.parametrize(
    "written",
    ["", "+", "+911", "+0155512345", "+1555123456789012", "sales", "1" * 21, "+1555x234567",
     "+١٢٣٤٥٦٧٨", "200\r\nVia: x", "200;evil", "200@host", "sip:@host", "1" * 500],
)  # fmt: skip
def test_what_is_no_number(written: str) -> None:
    with pytest.raises(ValueError, match=r"number|characters"):
        normalise(written)


@given(E164 | KEYS)
def test_a_number_stays_itself(number: str) -> None:
    assert normalise(number) == number
    assert normalise(f"tel:{number}") == number


@given(E164, st.data())
def test_separators_do_not_matter(number: str, data: st.DataObject) -> None:
    breaks = data.draw(st.lists(st.sampled_from(["", " ", "-", "."]), min_size=len(number)))
    written = "".join(a + b for a, b in zip(number, breaks, strict=False)) + number[len(breaks) :]
    assert normalise(written) == number


@given(st.text(max_size=150))
def test_any_text_is_a_number_or_is_refused(text: str) -> None:
    try:
        number = normalise(text)
    except ValueError:
        return
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}|[0-9*#]{1,20}", number)


@given(E164)
def test_a_dialled_number_is_known_however_the_carrier_writes_it(number: str) -> None:
    digits = number[1:]
    ways = (number, digits, f"00{digits}", f"sip:{number}@host", f"tel:{number}")
    assert {dialled_key(way) for way in ways} == {digits}


def test_a_dialled_name_stays_as_it_is() -> None:
    assert dialled_key("sip:Sales@box") == dialled_key("Sales") == "Sales"
    assert dialled_key("00") == "00"
    assert user_part("tel:+1555;ext=2") == "+1555"


@pytest.mark.parametrize(
    ("number", "rules", "allowed"),
    [
        ("+15551234567", [], False),
        ("+15551234567", ["+1"], True),
        ("+15551234567", ["+1."], True),
        ("+15551234567", ["+15551234567"], True),
        ("+15551234567", ["+44"], False),
        ("15551234567", ["+1"], False),
        ("+15551234567", ["+1", "!+1555"], False),
        ("+15551234567", ["+1", "!+1555", "+1555123"], True),
        ("+15551234567", ["+1555", "!+1555"], False),
        ("200", ["2XX"], True),
        ("2000", ["2XX"], False),
        ("2000", ["2XX."], True),
        ("20", ["2XX."], False),
        ("*97", ["*97"], True),
        ("12997", ["*97"], False),
        ("299", ["2XX", "!299"], False),
        ("9011", ["9."], True),
        # Costly prefixes want a rule as long as they are.
        ("+19005551234", ["+1"], False),
        ("+19005551234", ["+1900"], True),
        ("+18095551234", ["+1"], False),
        ("+18095551234", ["+1", "+1809"], True),
        ("+88213000000", ["+8"], False),
        ("+447012345678", ["+44"], False),
        ("+447712345678", ["+44"], True),
        # An emergency number wants a rule of its own.
        ("112", ["1XX", "1."], False),
        ("112", ["112"], True),
        ("911", ["9."], False),
        ("911", ["911"], True),
        ("911", ["911."], False),
        ("9911", ["9."], False),
        ("9911", ["9.", "99."], False),
        ("9911", ["9.", "9911"], True),
        ("2112", ["2XXX"], True),
        # So do costly ones that are written without +, behind an outside line or not.
        ("19005551234", ["1."], False),
        ("19005551234", ["1XXXXXXXXXX"], False),
        ("19005551234", ["1900."], True),
        ("19005551234", ["1900XXXXXXX"], True),
        ("19005551234", ["19005551234"], True),
        ("15551234567", ["1."], True),
        ("00882130000", ["00."], False),
        ("00882130000", ["00882."], True),
        ("011881612345678", ["011."], False),
        ("0114930123456", ["011."], True),
        ("919005551234", ["9."], False),
        ("919005551234", ["91."], False),
        ("9011881612345678", ["9."], False),
        ("900881612345678", ["90."], False),
        ("915551234567", ["9."], True),
        # Hawaii, a German town, and extensions are no satellite.
        ("18085551234", ["1."], True),
        ("98085551234", ["9."], True),
        ("8085551234", ["XXXXXXXXXX"], True),
        ("8701", ["8XXX"], True),
        ("498812345678", ["49."], True),
        # What is forbidden with + is forbidden without.
        ("15551234567", ["1.", "!+1555"], False),
        ("0015551234567", ["00.", "!+1555"], False),
    ],
)
def test_which_numbers_may_be_dialled(number: str, rules: list[str], allowed: bool) -> None:
    assert all(rule_fault(rule) == "" for rule in rules)
    assert (ban_on(number, rules) is None) is allowed


def test_a_ban_says_what_is_missing() -> None:
    costly = ban_on("+19005551234", ["+1"])
    assert costly is not None and costly.missing_rule == "+1900" and "'+1'" in costly.reason
    forbidden = ban_on("+15551234567", ["!+1555"])
    assert forbidden is not None and forbidden.missing_rule == "" and "'!+1555'" in forbidden.reason
    without_plus = ban_on("15551234567", ["+1"])
    assert without_plus is not None and "+15551234567" in without_plus.reason
    emergency = ban_on("911", ["9."])
    assert emergency is not None and emergency.missing_rule == "911"
    behind = ban_on("9911", ["9."])
    assert behind is not None and behind.missing_rule == "9911" and "911 behind 9" in behind.reason
    outside = ban_on("9011881612345678", ["9."])
    assert outside is not None and outside.missing_rule == "9011881612345678"
    assert "+881" in outside.reason and "'9.'" in outside.reason


@given(E164 | KEYS)
def test_nothing_may_be_dialled_without_rules(number: str) -> None:
    assert ban_on(number, []) is not None


@given(E164 | KEYS)
def test_the_rule_that_a_ban_names_lifts_it(number: str) -> None:
    for rules in ([], ["+999999999999999"], ["X."], ["0.", "1.", "9."]):
        ban = ban_on(number, rules)
        if ban is not None:
            assert rule_fault(ban.missing_rule) == ""
            assert ban_on(number, [*rules, ban.missing_rule]) is None


@given(KEYS)
def test_no_pattern_opens_an_emergency_number(number: str) -> None:
    rules = ["X.", "XX", "XXX", "XXXX", "*X."]
    assert (ban_on(number, rules) is not None) or number not in EMERGENCY


@pytest.mark.parametrize("rule", ["", "!", "+", "+1X", "1+", "one", "2..", "+1 555", "XX-X", "!!1"])
def test_what_is_no_rule(rule: str) -> None:
    assert rule_fault(rule)


def test_costly_prefixes_are_rules() -> None:
    assert len(COSTLY) == len(set(COSTLY)) and all(rule_fault(p) == "" for p in COSTLY)
