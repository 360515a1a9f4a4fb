"""A ticket opens one stream, once, in time."""

import pytest

from agent.web.carrier_tickets import (
    KEPT_CALLS,
    LIFETIME_S,
    AlreadyBegun,
    CarrierCall,
    Tickets,
)

CALL = CarrierCall("twilio", "CA1", "+15005550006", "+15005550001")


def test_a_ticket_is_used_once() -> None:
    tickets = Tickets()
    token = tickets.issue(CALL, 0.0)
    assert tickets.waiting(0.0) == 1
    assert tickets.claim("twilio", token, 1.0) == CALL
    assert tickets.waiting(1.0) == 0
    assert tickets.claim("twilio", token, 1.0) is None


def test_tokens_are_long_and_never_the_same() -> None:
    tickets = Tickets()
    tokens = {tickets.issue(CALL, 0.0) for _ in range(50)}
    assert len(tokens) == 50
    assert min(map(len, tokens)) >= 43


def test_a_ticket_expires() -> None:
    tickets = Tickets()
    token = tickets.issue(CALL, 0.0)
    assert tickets.waiting(LIFETIME_S) == 0
    assert tickets.claim("twilio", token, LIFETIME_S) is None
    # Its call never began: the carrier may ask again.
    again = tickets.issue(CALL, LIFETIME_S)
    assert tickets.claim("twilio", again, LIFETIME_S + LIFETIME_S / 2) == CALL


@pytest.mark.parametrize(("carrier", "token"), [("plivo", None), ("twilio", "x"), ("twilio", "")])
def test_a_wrong_ticket_opens_nothing_and_spoils_nothing(carrier: str, token: str | None) -> None:
    tickets = Tickets()
    issued = tickets.issue(CALL, 0.0)
    assert tickets.claim(carrier, issued if token is None else token, 0.0) is None
    assert tickets.claim("twilio", issued, 0.0) == CALL


def test_a_second_ticket_for_a_call_voids_the_first() -> None:
    tickets = Tickets()
    first, second = tickets.issue(CALL, 0.0), tickets.issue(CALL, 1.0)
    assert tickets.waiting(1.0) == 1
    assert tickets.claim("twilio", first, 1.0) is None
    assert tickets.claim("twilio", second, 1.0) == CALL


def test_a_call_that_had_its_stream_gets_no_other() -> None:
    tickets = Tickets()
    tickets.claim("twilio", tickets.issue(CALL, 0.0), 0.0)
    with pytest.raises(AlreadyBegun, match="CA1"):
        tickets.issue(CALL, 1e6)
    # Another carrier's call may bear the same name.
    tickets.issue(CarrierCall("plivo", "CA1", "", ""), 1.0)


def test_what_is_remembered_is_bounded() -> None:
    tickets = Tickets()
    for number in range(KEPT_CALLS + 1):
        call = CarrierCall("twilio", str(number), "", "")
        assert tickets.claim("twilio", tickets.issue(call, 0.0), 0.0) == call
    tickets.issue(CarrierCall("twilio", "0", "", ""), 0.0)
    with pytest.raises(AlreadyBegun):
        tickets.issue(CarrierCall("twilio", "1", "", ""), 0.0)
