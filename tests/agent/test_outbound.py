"""Placing calls: what is allowed, what becomes of them, and what is kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from scripted_door import QuietBox, ScriptedDoor, a_store, answered, full

from agent.config import Config
from agent.latency import TurnTrace
from agent.outbound import KEPT, Outbound
from agent.placed_call import CallRequest, CallState, PlacedCall
from agent.records.record import BOX_STOPPED, CallRecord, TurnRecord
from agent.usage import Usage
from telephony.transport import CallOutcome, Dialled, HangupCause
from telephony.trunk import DialRefused, Fault, Trunk, Trunks
from telephony.trunk_load import TrunkLoad

LIMIT_S = 20.0
CARRIER = Trunk(
    "carrier",
    "sip.carrier.example",
    "tls",
    numbers={"+15550001111": "sales"},
    destinations=("+1",),
    caller_id="+15550002222",
    max_calls=2,
    calls_per_minute=600,
)
CONFIG = Config.model_validate(
    {
        "calls": {"max_calls": 3},
        "sip": {"destinations": ["pbx.example"]},
        "profiles": {"sales": {"name": "Ada"}},
    }
)
NUMBER = "+15551234567"


class Desk:
    """A box, its door, and what places calls between them."""

    def __init__(self, folder: Path, trunk: Trunk = CARRIER, config: Config = CONFIG) -> None:
        self.box = QuietBox(config, a_store(folder))
        self.door = ScriptedDoor()
        self.load = TrunkLoad()
        self.trunk = trunk
        self.out = Outbound(self.box, self.door, Trunks([trunk]), self.load)
        self.box.outbound = self.out

    async def place(self, to: str = NUMBER, **fields: object) -> PlacedCall:
        dialled = len(self.door.dials)
        call = self.out.place(CallRequest(to, **fields))  # type: ignore[arg-type]
        async with asyncio.timeout(LIMIT_S):
            while len(self.door.dials) == dialled:
                await asyncio.sleep(0)
        return call

    async def outcome(self, call: PlacedCall, result: Dialled | Exception) -> CallOutcome | None:
        self.door.results.put_nowait(result)
        async with asyncio.timeout(LIMIT_S):
            await self.out.settled(call)
        return call.outcome

    async def idle(self) -> None:
        """Returns once no place and no trunk is in use."""
        async with asyncio.timeout(LIMIT_S):
            while self.box.active_calls or self.load.calls(self.trunk):
                await asyncio.sleep(0.005)

    def recorded(self, call: PlacedCall) -> tuple[str | None, str, str, str, str]:
        assert self.box.store.flush(LIMIT_S)
        found = self.box.store.call(call.call_id)
        assert found is not None
        record = found[0]
        return record.cause, record.direction, record.dialled, record.trunk, record.profile


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with a_desk(tmp_path) as desk:
        yield desk


@asynccontextmanager
async def a_desk(folder: Path, **settings: object) -> AsyncIterator[Desk]:
    desk = Desk(folder, **settings)  # type: ignore[arg-type]
    try:
        yield desk
        await desk.out.close()
        for run in list(desk.box.runs.values()):
            if not run.over.is_set():
                run.hang_up(HangupCause.BOX_STOPPED)
        await desk.idle()
    finally:
        await asyncio.to_thread(desk.box.store.close, LIMIT_S)


async def test_an_answered_call_is_handed_to_the_agent(desk: Desk) -> None:
    call = await desk.place(profile="sales")
    assert (call.state, call.outcome) == (CallState.DIALLING, None)
    assert desk.box.active_calls == 1 and desk.load.calls(CARRIER) == 1
    assert desk.recorded(call)[0] is None
    (dial,) = desk.door.dials
    assert dial.target == f"sip:{NUMBER}@sip.carrier.example;transport=tls"
    assert (dial.trunk, dial.caller_id) == ("carrier", "sip:+15550002222@sip.carrier.example")
    assert await desk.outcome(call, answered()) is CallOutcome.ANSWERED
    assert (call.state, call.status) == (CallState.ANSWERED, 200)
    (origin,) = desk.box.origins
    assert (origin.direction, origin.dialled, origin.trunk, origin.profile, origin.call_id) == (
        "outbound", NUMBER, "carrier", "sales", call.call_id
    )  # fmt: skip
    assert desk.box.active_calls == 1 and desk.load.calls(CARRIER) == 1
    assert desk.out.hang_up(call)
    await desk.idle()
    assert (call.state, call.cause) == (CallState.ENDED, "agent hung up")
    assert not desk.out.hang_up(call)
    assert desk.recorded(call) == ("agent hung up", "outbound", NUMBER, "carrier", "sales")


@pytest.mark.parametrize(
    ("result", "outcome", "reason"),
    [
        (Dialled(CallOutcome.BUSY, None, 486, "Busy Here"), "busy", "busy (486 Busy Here)"),
        (Dialled(CallOutcome.NO_ANSWER, reason="rang"), "no answer", "rang"),
        (Dialled(CallOutcome.REJECTED, None, 603, ""), "rejected", "declined (603)"),
        (OSError("no route"), "failed", "the telephone door failed: no route"),
    ],
)
async def test_an_unanswered_call_is_kept_with_its_reason(
    desk: Desk, result: Dialled | Exception, outcome: str, reason: str
) -> None:
    call = await desk.place()
    assert await desk.outcome(call, result) == outcome
    assert (call.state, call.reason) == (CallState.ENDED, reason)
    await desk.idle()
    assert desk.recorded(call) == (outcome, "outbound", NUMBER, "carrier", "")


async def test_a_call_that_rings_can_be_given_up(desk: Desk) -> None:
    call = await desk.place()
    assert desk.out.hang_up(call)
    async with asyncio.timeout(LIMIT_S):
        await desk.out.settled(call)
    assert (call.outcome, desk.door.cancelled) == (CallOutcome.NO_ANSWER, 1)
    assert "given up" in call.reason
    await desk.idle()
    assert desk.recorded(call)[0] == "no answer"


async def test_a_call_answered_as_it_is_given_up_is_hung_up(desk: Desk) -> None:
    call = await desk.place()
    result = desk.door.answers_when_cancelled = answered()
    assert desk.out.hang_up(call)
    async with asyncio.timeout(LIMIT_S):
        await desk.out.settled(call)
    assert call.outcome is CallOutcome.NO_ANSWER and not desk.box.origins
    assert result.line is not None and result.line.over  # type: ignore[attr-defined]


async def test_a_call_given_up_while_it_is_handed_over_ends(desk: Desk) -> None:
    desk.box.ready.clear()
    call = await desk.place()
    desk.door.results.put_nowait(answered())
    async with asyncio.timeout(LIMIT_S):
        while desk.box.active_calls:
            await asyncio.sleep(0)
    assert desk.out.hang_up(call)
    desk.box.ready.set()
    async with asyncio.timeout(LIMIT_S):
        while call.state is not CallState.ENDED:
            await asyncio.sleep(0.005)
    assert (call.outcome, call.cause) == (CallOutcome.ANSWERED, "agent hung up")


@pytest.mark.parametrize("fault", [full(), RuntimeError("broken")])
async def test_an_answered_call_that_the_box_cannot_take_is_hung_up(
    desk: Desk, fault: Exception
) -> None:
    desk.box.refuses = fault
    call = await desk.place()
    result = answered()
    assert await desk.outcome(call, result) is CallOutcome.FAILED
    assert result.line is not None and result.line.over  # type: ignore[attr-defined]
    assert str(fault) in call.reason
    await desk.idle()
    assert desk.recorded(call)[0] == "failed"


async def test_a_sip_address_is_called_straight(desk: Desk) -> None:
    call = await desk.place("SIP:joe@127.0.0.1:5080;transport=tcp")
    (dial,) = desk.door.dials
    assert (dial.target, dial.trunk) == ("sip:joe@127.0.0.1:5080;transport=tcp", "")
    assert desk.load.calls(CARRIER) == 0
    await desk.outcome(call, Dialled(CallOutcome.BUSY, None, 486, "Busy"))
    assert desk.recorded(call)[2:4] == ("sip:joe@127.0.0.1:5080;transport=tcp", "")
    call = desk.out.place(CallRequest("sip:joe@pbx.example"))
    assert desk.out.hang_up(call)


@pytest.mark.parametrize(
    ("fields", "words", "fault"),
    [
        ({"to": "+449001234567"}, "`carrier` may not dial", Fault.NOT_ALLOWED),
        ({"to": "911"}, "emergency", Fault.NOT_ALLOWED),
        ({"to": "sip:a@evil.example"}, "`destinations` in [sip]", Fault.NOT_ALLOWED),
        ({"to": NUMBER, "caller_id": "+15559999999"}, "may not show", Fault.NOT_ALLOWED),
        ({"to": "joe"}, "no number", Fault.BAD_REQUEST),
        ({"to": NUMBER, "trunk": "other"}, "no trunk `other`", Fault.BAD_REQUEST),
        ({"to": NUMBER, "profile": "other"}, "profiles: agent, sales", Fault.BAD_REQUEST),
        ({"to": NUMBER, "answer_limit_s": 0}, "`answer_limit_s`", Fault.BAD_REQUEST),
        ({"to": "sip:a@127.0.0.1", "trunk": "carrier"}, "straight", Fault.BAD_REQUEST),
    ],
)
async def test_what_is_refused_leaves_nothing_behind(
    desk: Desk, fields: dict[str, object], words: str, fault: Fault
) -> None:
    with pytest.raises(DialRefused) as refused:
        desk.out.place(CallRequest(**fields))  # type: ignore[arg-type]
    assert words in str(refused.value) and refused.value.fault is fault
    assert desk.box.active_calls == desk.load.calls(CARRIER) == 0
    assert desk.out.recent(10) == [] and not desk.door.dials


async def test_a_number_of_the_trunk_may_be_shown(desk: Desk) -> None:
    await desk.place(caller_id="+1 555 000 1111")
    assert desk.door.dials[0].caller_id == "sip:+15550001111@sip.carrier.example"


async def test_the_trunks_limits_hold(desk: Desk) -> None:
    calls = [await desk.place() for _ in range(CARRIER.max_calls)]
    with pytest.raises(DialRefused, match="`max_calls`") as refused:
        desk.out.place(CallRequest(NUMBER))
    assert refused.value.fault is Fault.TOO_MANY
    assert desk.box.active_calls == CARRIER.max_calls
    await desk.outcome(calls[0], Dialled(CallOutcome.BUSY, None, 486))
    async with asyncio.timeout(LIMIT_S):
        while desk.load.calls(CARRIER) == CARRIER.max_calls:
            await asyncio.sleep(0)
    await desk.place()


async def test_the_boxs_places_hold(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"calls": CONFIG.calls.model_copy(update={"max_calls": 1})})
    async with a_desk(tmp_path, config=config) as desk:
        await desk.place()
        with pytest.raises(type(full()), match="`max_calls` in \\[calls\\]"):
            desk.out.place(CallRequest(NUMBER))
        assert desk.load.calls(CARRIER) == 1


async def test_closing_gives_up_what_rings_and_takes_no_more(desk: Desk) -> None:
    ringing, talking = await desk.place(), await desk.place()
    desk.door.results.put_nowait(answered())
    async with asyncio.timeout(LIMIT_S):
        while CallState.ANSWERED not in (ringing.state, talking.state):
            await asyncio.sleep(0)
        await desk.box.outbound.close()  # type: ignore[union-attr]
    states = {ringing.state, talking.state}
    assert states == {CallState.ANSWERED, CallState.ENDED}
    with pytest.raises(type(full()), match="stopping"):
        desk.out.place(CallRequest(NUMBER))


async def test_calls_are_listed_latest_first_and_forgotten_in_time(desk: Desk) -> None:
    first, second = await desk.place(), await desk.place()
    assert [call.call_id for call in desk.out.recent(10)] == [second.call_id, first.call_id]
    assert desk.out.recent(1) == [second]
    for number in range(KEPT):
        old = PlacedCall(f"old{number}", NUMBER, state=CallState.ENDED)
        desk.out._remember(old)
    assert len(desk.out.recent(2 * KEPT)) == KEPT
    assert desk.out.find(first.call_id) is first, "a call under way is never forgotten"


async def test_a_record_tells_what_became_of_a_call(desk: Desk) -> None:
    busy = await desk.place()
    await desk.outcome(busy, Dialled(CallOutcome.BUSY, None, 486, "Busy Here"))
    assert desk.box.store.flush(LIMIT_S)
    found = desk.box.store.call(busy.call_id)
    assert found is not None
    told = PlacedCall.from_record(found[0])
    assert (told.to, told.state, told.outcome, told.cause) == (
        NUMBER, CallState.ENDED, CallOutcome.BUSY, None
    )  # fmt: skip


BEGUN = CallRecord("c", datetime(2026, 11, 1, tzinfo=UTC), "sip", NUMBER, "Joe",
                   direction="outbound", dialled=NUMBER)  # fmt: skip
GREETING = TurnRecord("c", 0, "", "Hello!", False, TurnTrace(0, 1.0, 1.2), Usage())


@pytest.mark.parametrize(
    ("cause", "call_s", "turns", "state", "outcome", "told_cause"),
    [
        (None, 0.0, (), CallState.DIALLING, None, None),
        (None, 0.0, (GREETING,), CallState.ANSWERED, CallOutcome.ANSWERED, None),
        # Its process was killed: while it rang, and while it talked.
        (BOX_STOPPED, 0.0, (), CallState.ENDED, CallOutcome.FAILED, None),
        (BOX_STOPPED, 0.0, (GREETING,), CallState.ENDED, CallOutcome.ANSWERED, BOX_STOPPED),
        (BOX_STOPPED, 9.5, (), CallState.ENDED, CallOutcome.ANSWERED, BOX_STOPPED),
        ("failed", 9.5, (), CallState.ENDED, CallOutcome.ANSWERED, "failed"),
        ("no answer", 0.0, (), CallState.ENDED, CallOutcome.NO_ANSWER, None),
    ],
)
def test_a_record_that_nobody_finished_tells_no_more_than_it_knows(
    cause: str | None,
    call_s: float,
    turns: tuple[TurnRecord, ...],
    state: CallState,
    outcome: CallOutcome | None,
    told_cause: str | None,
) -> None:
    told = PlacedCall.from_record(replace(BEGUN, cause=cause, usage=Usage(call_s=call_s)), turns)
    assert (told.state, told.outcome, told.cause) == (state, outcome, told_cause)
