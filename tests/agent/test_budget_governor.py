"""Who is let in, what a turn is answered with, and what a webhook is told; calls are simulated."""

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_door import QuietBox, a_store

from agent.admission import OverBudget
from agent.budgets.governor import GOODBYES, Governor
from agent.budgets.ledger import Ledger, Level
from agent.budgets.read_back import ReadBack, count
from agent.budgets.webhook import SIGNATURE, WAITING, Message, Webhooks, sign
from agent.call import DIRECT, Origin
from agent.config import Config
from agent.latency import TurnTrace
from agent.menu import Choice
from agent.records.history import records_source
from agent.records.record import CallRecord, TurnRecord
from agent.usage import Usage
from agent.web.server import WebServer
from models.errors import EngineError
from telephony.transport import HangupCause

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)


def config(*budgets: dict[str, Any], **more: Any) -> Config:
    filled = [{"name": f"b{n}", "unit": "tokens", "limit": 100, **b} for n, b in enumerate(budgets)]
    return Config.model_validate({"budgets": filled, **more})


class SimulatedCall:
    """As much of a call as budgets see of it."""

    def __init__(self, call_id: str, caller: str = "ann", origin: Origin = DIRECT) -> None:
        self.call_id, self.caller, self.origin = call_id, caller, origin
        self.config = Config()
        self.started_at = NOON
        self.usage = Usage()
        self.bill = SimpleNamespace(owned_usd=lambda usage, outbound: Decimal(0))
        self.before_answer: Callable[[Any], Choice | None] = lambda turn: None
        self.events: list[dict[str, Any]] = []
        self.models: list[Any] = []
        self.turns = 0

    def emit(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def change_model(self, model: Any) -> None:
        if isinstance(model, Exception):
            raise model
        self.models.append(model)

    def ask(self) -> Choice | None:
        self.turns += 1
        return self.before_answer(SimpleNamespace(number=self.turns))

    def record(self) -> CallRecord:
        return CallRecord(
            self.call_id, NOON, "sip", self.caller, "Joe", cause="x", usage=self.usage
        )


class Bench:
    """A governor, and calls that are as the test says."""

    def __init__(self, settings: Config, models: dict[str, Any] | None = None) -> None:
        self.box: Any = SimpleNamespace(config=settings, run_of=lambda call_id: self.run)
        self.hung_up: list[HangupCause] = []
        self.run = SimpleNamespace(hang_up=self.hung_up.append)
        self.ledger = Ledger(settings.budgets)
        self.told: list[Message] = []
        self.governor = Governor(
            self.box,
            self.ledger,
            None,  # type: ignore[arg-type]
            SimpleNamespace(tell=self.told.append),  # type: ignore[arg-type]
            models or {},
            {"b0": "secret"},
            clock=lambda: NOON,
        )

    def begin(self, call: SimulatedCall) -> SimulatedCall:
        self.governor.began(call)  # type: ignore[arg-type]
        return call

    def turn_over(self, call: SimulatedCall, tokens: int, answer: str = "Of course.") -> None:
        used = Usage(prompt_tokens=tokens)
        call.usage += used
        turn = TurnRecord(call.call_id, call.turns, "x", answer, False, TurnTrace(call.turns), used)
        self.governor.turn_over(call, turn)  # type: ignore[arg-type]

    def end(self, call: SimulatedCall) -> None:
        self.governor.ended(call, call.record())  # type: ignore[arg-type]

    @property
    def spent(self) -> Decimal:
        return self.ledger.all_standings(NOON)[0].spent


# -- the gate


@pytest.mark.parametrize("action", ["refuse", "end"])
def test_new_calls_are_refused_until_the_period_ends(action: str) -> None:
    bench = Bench(config({"action": action, "message": "Later.", "speak_refusal": True}))
    call = bench.begin(SimulatedCall("a"))
    assert bench.governor.gate("sip", "ann", DIRECT) is DIRECT
    bench.turn_over(call, 100)
    with pytest.raises(OverBudget, match="b0 is spent until 2026-03-16 00:00 UTC") as refused:
        bench.governor.gate("sip", "bob", DIRECT)
    assert refused.value.retry_after_s == 12 * 3600
    assert (refused.value.sip_status, refused.value.spoken) == (480, "Later.")


def test_one_caller_s_budget_is_no_other_s() -> None:
    bench = Bench(config({"per": "caller", "action": "refuse"}))
    bench.turn_over(bench.begin(SimulatedCall("a", "+15551234567@1.2.3.4")), 100)
    with pytest.raises(OverBudget):
        bench.governor.gate("sip", "+15551234567@example.org", DIRECT)
    assert bench.governor.gate("sip", "+15550000000@example.org", DIRECT) is DIRECT


def test_a_tenants_budget_is_that_of_all_its_profiles() -> None:
    profiles = {"one": {"tenant": "acme"}, "two": {"tenant": "acme"}, "three": {}}
    bench = Bench(config({"per": "tenant", "action": "refuse"}, profiles=profiles))
    call = SimulatedCall("a", origin=Origin(profile="one"))
    call.config = bench.box.config.for_profile("one")
    bench.turn_over(bench.begin(call), 100)
    with pytest.raises(OverBudget):
        bench.governor.gate("sip", "ann", Origin(profile="two"))
    assert bench.governor.gate("sip", "ann", Origin(profile="three")).profile == "three"


def test_a_warning_lets_everybody_in() -> None:
    bench = Bench(config({"action": "warn"}))
    call = bench.begin(SimulatedCall("a"))
    bench.turn_over(call, 1000)
    assert bench.governor.gate("sip", "ann", DIRECT) is DIRECT
    assert call.ask() is None


def test_new_calls_go_to_the_cheaper_profile_and_it_has_budgets_too() -> None:
    cheaper = {"per": "profile", "action": "cheaper", "only": ["agent"], "cheaper_profile": "small"}
    last = {"per": "profile", "only": ["small"], "action": "refuse"}
    bench = Bench(config(cheaper, last, profiles={"small": {}}))
    bench.turn_over(bench.begin(SimulatedCall("a")), 100)
    origin = bench.governor.gate("sip", "ann", Origin(trunk="telnyx"))
    assert (origin.profile, origin.trunk) == ("small", "telnyx")
    bench.turn_over(bench.begin(SimulatedCall("b", origin=origin)), 100)
    with pytest.raises(OverBudget, match="b1"):
        bench.governor.gate("sip", "ann", DIRECT)


def test_profiles_that_are_cheaper_than_each_other_end_somewhere() -> None:
    budgets = [
        {"per": "profile", "only": [a], "action": "cheaper", "cheaper_profile": b}
        for a, b in (("one", "two"), ("two", "one"))
    ]
    bench = Bench(config(*budgets, profiles={"one": {}, "two": {}}))
    for name in ("one", "two"):
        bench.turn_over(bench.begin(SimulatedCall(name, origin=Origin(profile=name))), 100)
    assert bench.governor.gate("sip", "ann", Origin(profile="one")).profile == "two"


# -- calls under way


def test_a_call_is_ended_with_a_sentence_at_its_next_turn() -> None:
    bench = Bench(config({"action": "end", "message": "Goodbye now."}))
    call = bench.begin(SimulatedCall("a"))
    assert call.ask() is None
    bench.turn_over(call, 100)
    assert call.ask() == Choice("Goodbye now.", hang_up=True)
    assert call.events == [{"type": "budget", "budget": "b0", "share": 1.0, "action": "end"}]
    assert not bench.hung_up


def test_a_caller_who_interrupts_the_goodbye_again_and_again_has_heard_of_it() -> None:
    bench = Bench(config({"action": "end"}))
    call = bench.begin(SimulatedCall("a"))
    bench.turn_over(call, 100)
    for _ in range(GOODBYES):
        assert call.ask() is not None
        bench.turn_over(call, 0, answer="I am sorry")
        assert not bench.hung_up
    call.ask()
    assert bench.hung_up == [HangupCause.AGENT_HUNG_UP]


def test_nobody_is_cut_off_who_heard_nothing_of_the_goodbye() -> None:
    bench = Bench(config({"action": "end"}))
    call = bench.begin(SimulatedCall("a"))
    bench.turn_over(call, 100)
    for _ in range(3 * GOODBYES):
        assert call.ask() is not None
        bench.turn_over(call, 0, answer="")
    assert not bench.hung_up


def test_refusing_leaves_calls_under_way_alone() -> None:
    bench = Bench(config({"action": "refuse"}))
    call = bench.begin(SimulatedCall("a"))
    bench.turn_over(call, 100)
    assert call.ask() is None


def test_a_cheaper_model_answers_next_turns_and_new_calls() -> None:
    model = object()
    bench = Bench(config({"action": "cheaper", "cheaper_llm": "small"}), {"small": model})
    call = bench.begin(SimulatedCall("a"))
    assert (call.ask(), call.models) == (None, [])
    bench.turn_over(call, 100)
    assert (call.ask(), call.ask()) == (None, None)
    assert call.models == [model]
    assert [event["model"] for event in call.events] == ["small"]
    assert bench.begin(SimulatedCall("b")).models == [model]


def test_a_cheaper_model_without_a_place_is_asked_again_at_the_next_turn() -> None:
    models: dict[str, Any] = {"small": EngineError("full")}
    bench = Bench(config({"action": "cheaper", "cheaper_llm": "small"}), models)
    call = bench.begin(SimulatedCall("a"))
    bench.turn_over(call, 100)
    assert (call.ask(), call.models) == (None, [])
    models["small"] = "a model"
    assert (call.ask(), call.models) == (None, ["a model"])


steps = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 60)), max_size=80)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_no_interleaving_overspends_by_more_than_a_turn_a_call(
    steps: list[tuple[int, int]],
) -> None:
    """Each step has one caller come, speak, or hear the end of an answer that took so much."""
    bench = Bench(config({"action": "end"}))
    calls: dict[int, SimulatedCall] = {}
    answering: set[int] = set()
    largest: dict[int, int] = {}
    for who, took in steps:
        if who not in calls:
            try:
                bench.governor.gate("sip", str(who), DIRECT)
            except OverBudget:
                continue
            calls[who] = bench.begin(SimulatedCall(f"c{who}"))
        elif who in answering:
            answering.discard(who)
            largest[who] = max(took, largest.get(who, 0))
            bench.turn_over(calls[who], took)
        elif calls[who].ask() is None:
            answering.add(who)
    assert bench.spent < 100 + sum(largest.values()) or not largest
    assert bench.spent == sum(call.usage.prompt_tokens for call in calls.values())
    for call in calls.values():
        bench.end(call)
    assert bench.spent == sum(call.usage.prompt_tokens for call in calls.values())


# -- webhooks


def test_a_webhook_is_told_of_warning_and_limit_once_each() -> None:
    bench = Bench(config({"webhook": "https://example.org/x", "action": "refuse"}))
    call = bench.begin(SimulatedCall("a"))
    for took in (50, 30, 10, 10, 10):
        bench.turn_over(call, took)
    told = [json.loads(message.body) for message in bench.told]
    assert [(each["state"], each["spent"], each["limit"]) for each in told] == [
        ("warned", "80", "100"),
        ("spent", "100", "100"),
    ]
    assert told[1]["id"] == "b0//20260315T0000Z/spent"
    assert {message.secret for message in bench.told} == {"secret"}


def a_message(secret: str = "s3cret") -> Message:
    (standing,) = Ledger(config({}).budgets).all_standings(NOON)
    return Message.of(standing, "https://example.org/hook?key=hidden", secret, "Joe")


async def test_what_a_webhook_gets_is_signed_and_tried_again() -> None:
    got: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        got.append(request)
        return httpx2.Response(503 if len(got) == 1 else 204)

    transport = httpx2.MockTransport(answer)
    async with Webhooks((0.0,), transport, now_s=lambda: 1_700_000_000.4) as webhooks:
        webhooks.tell(a_message())
        async with asyncio.timeout(10):
            await webhooks.settled()
    assert len(got) == 2
    expected = sign("s3cret", 1_700_000_000, got[1].content)
    assert got[1].headers[SIGNATURE] == f"t=1700000000,v1={expected}"
    assert got[1].headers["Content-Type"] == "application/json"
    assert json.loads(got[1].content)["agent"] == "Joe"


async def test_a_webhook_that_is_away_is_given_up_and_its_key_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("nobody there")

    async with Webhooks((0.0, 0.0), httpx2.MockTransport(answer)) as webhooks:
        webhooks.tell(a_message())
        async with asyncio.timeout(10):
            await webhooks.settled()
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert line == "budget webhooks: example.org was not told: ConnectError: nobody there"


async def test_a_webhook_that_hangs_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    hangs = asyncio.Event()

    async def answer(request: httpx2.Request) -> httpx2.Response:
        await hangs.wait()
        return httpx2.Response(204)

    async with Webhooks((), httpx2.MockTransport(answer)) as webhooks:
        for _ in range(WAITING + 5):
            webhooks.tell(a_message())
        assert "one is dropped" in caplog.text
        await asyncio.sleep(0)
    assert "not sent before the box stopped" in caplog.text


# -- what the records tell


async def test_what_other_processes_spend_is_counted_too(tmp_path: Path) -> None:
    settings = config({"action": "refuse"}, records={"path": str(tmp_path / "calls.sqlite3")})
    now = NOON + timedelta(seconds=50)
    other = a_store(tmp_path)
    try:
        other.start_call(CallRecord("x", NOON, "sip", "bob", "Joe"))
        turn = Usage(prompt_tokens=60)
        other.add_turn(TurnRecord("x", 1, "a", "b", False, TurnTrace(1), turn))
        assert await asyncio.to_thread(other.flush, 20)
        bench = Bench(settings)
        source = records_source(settings.records, {})
        reader = ReadBack(source, lambda usage, outbound: None, NOON, bench.governor.knows)
        bench.governor._reader = reader
        bench.governor._clock = lambda: now
        await bench.governor.read_others()
        assert bench.spent == 60
        own = bench.begin(SimulatedCall("own"))
        bench.turn_over(own, 30)
        # What this process knows of its calls is newer than what it wrote.
        other.start_call(CallRecord("own", NOON, "sip", "ann", "Joe"))
        ended = CallRecord("x", NOON, "sip", "bob", "Joe", cause="c", usage=Usage(prompt_tokens=75))
        other.end_call(ended)
        assert await asyncio.to_thread(other.flush, 20)
        await bench.governor.read_others()
        assert bench.spent == 105
        with pytest.raises(OverBudget):
            bench.governor.gate("sip", "ann", DIRECT)
        assert reader.since == NOON  # of a call that is not over
        other.end_call(own.record())
        assert await asyncio.to_thread(other.flush, 20)
        now += timedelta(minutes=10)
        bench.end(own)
        await bench.governor.read_others()
        assert (bench.spent, reader.since) == (105, now - timedelta(minutes=1))
    finally:
        await asyncio.to_thread(other.close)

    # A process that begins now knows all of it.
    ledger = Ledger(settings.budgets)
    found = ReadBack(source, lambda usage, outbound: None, NOON).read(now)
    (standing,) = [each for each in count(ledger, found) if each.level is Level.SPENT]
    assert standing.spent == 105


# -- the interface


async def test_the_interface_shows_them_to_who_has_the_token(tmp_path: Path) -> None:
    settings = config({}, server={"port": 0, "token": "a token"})
    box = QuietBox(settings, a_store(tmp_path))
    bench = Bench(settings)
    box.budgets = bench.governor
    try:
        async with WebServer(settings.server) as server:
            await server.start(box)
            async with httpx2.AsyncClient(base_url=server.url, timeout=20) as http:
                refused = await http.get("/api/budgets")
                shown = await http.get("/api/budgets", headers={"Authorization": "Bearer a token"})
    finally:
        await asyncio.to_thread(box.store.close)
    assert refused.status_code == 401
    (told,) = shown.json()["budgets"]
    assert (told["budget"], told["spent"], told["state"]) == ("b0", "0", "fine")
