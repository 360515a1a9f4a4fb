"""SIP statuses and what they mean for a call that was placed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.causes import CAUSES, cause_of, outcome_of
from telephony.transport import CallOutcome

# Every final response code of the IANA registry "Session Initiation Protocol (SIP) Parameters".
REGISTERED = {
    *(200, 202, 204, 300, 301, 302, 305, 380),
    *(400, 401, 402, 403, 404, 405, 406, 407, 408, 410, 413, 414, 415, 416, 417),
    *(420, 421, 422, 423, 424, 425, 428, 429, 430, 433, 436, 437, 438, 439, 440, 469, 470),
    *(480, 481, 482, 483, 484, 485, 486, 487, 488, 489, 491, 493, 494),
    *(500, 501, 502, 503, 504, 505, 513, 555, 580, 600, 603, 604, 606, 607, 608),
}

OUTCOMES = {
    CallOutcome.ANSWERED: {200, 202, 204},
    CallOutcome.BUSY: {486, 600},
    CallOutcome.NO_ANSWER: {408, 480, 487},
    CallOutcome.REJECTED: {
        *(300, 301, 302, 305, 380, 401, 402, 403, 404, 405, 406, 407, 410, 415, 416, 428, 433),
        *(437, 438, 470, 484, 485, 488, 603, 604, 606, 607, 608),
    },
}


def test_every_registered_status_has_a_row() -> None:
    assert set(CAUSES) == REGISTERED


@pytest.mark.parametrize("status", sorted(REGISTERED))
def test_a_status_has_its_outcome(status: int) -> None:
    expected = [outcome for outcome, statuses in OUTCOMES.items() if status in statuses]
    assert outcome_of(status) is (expected[0] if expected else CallOutcome.FAILED)
    assert re.fullmatch(r"RFC \d{4}, [\d.]+", cause_of(status).source)
    assert cause_of(status).meaning


@pytest.mark.parametrize(
    ("status", "known"), [(299, 200), (399, 300), (499, 400), (599, 500), (699, 600)]
)
def test_an_unknown_status_counts_as_the_first_of_its_class(status: int, known: int) -> None:
    assert cause_of(status) is cause_of(known)


@given(st.integers())
def test_any_number_has_a_cause(status: int) -> None:
    cause = cause_of(status)
    assert cause.outcome in CallOutcome
    if not 200 <= status <= 699:
        assert cause.outcome is CallOutcome.FAILED
