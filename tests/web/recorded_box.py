"""A real HTTP door over real records of calls that nobody made; no engines."""

import asyncio
import random
import time
import wave
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from agent.box import Box
from agent.call import Origin
from agent.config import Config
from agent.cost.bill import Bill
from agent.latency import TurnTrace
from agent.records.record import CallRecord, EventRecord, TurnRecord
from agent.records.store import CallStore
from agent.usage import Usage
from agent.web.live_calls import LiveCalls
from agent.web.server import WebServer

RATE_HZ = 16_000
CALL_S = 64.0
CALL_ID = "c0ffee0042ab"
LIVE_ID = "11fe00000001"
SAID = (
    ("", "Hello, this is Robin at the Harbour Clinic. How can I help?"),
    (
        "hi I would like to move my appointment from Tuesday to Thursday please",
        "Of course. Which Thursday suits you, this week or the next?",
    ),
    ("the next one in the morning", "Thursday the third at ten past nine is free. Shall I"),
    ("nine is perfect <b>thanks</b>", "You are welcome. You will get a message. Goodbye."),
)


def a_usage(turns: int, call_s: float) -> Usage:
    return Usage(
        audio_in_s=0.4 * call_s,
        audio_out_s=0.45 * call_s,
        audio_heard_s=0.42 * call_s,
        prompt_tokens=210 * turns,
        cached_tokens=150 * turns,
        generated_tokens=22 * turns,
        discarded_tokens=9,
        characters=90 * turns,
        turns=turns,
        vad_busy_s=0.004 * call_s,
        turn_busy_s=0.05 * turns,
        stt_busy_s=0.3 * turns,
        llm_busy_s=0.7 * turns,
        llm_wasted_s=0.2,
        tts_busy_s=0.25 * turns,
        cpu_s=1.5 * turns,
        bytes_in=int(call_s * 8000),
        bytes_out=int(call_s * 8000),
        telephony_s=call_s,
        call_s=call_s,
    )


def a_call(bill: Bill, number: int, began: datetime, **changes: Any) -> CallRecord:
    """A call of the past; ``number`` decides what is not given."""
    chance = random.Random(number)
    turns = chance.randint(1, 9)
    call_s = turns * 14.0 + chance.random() * 9
    usage = a_usage(turns, call_s)
    owned, rented = bill.owned(usage, mean_calls=Decimal("1.4")), bill.rented(usage)
    fields: dict[str, Any] = {
        "call_id": f"{number:012x}",
        "started_at": began,
        "door": chance.choice(["sip", "webrtc", "twilio"]),
        "caller": f"+1555010{number % 23:04d}",
        "agent": "Robin",
        "ended_at": began + timedelta(seconds=call_s),
        "cause": chance.choice(["caller hung up", "caller hung up", "agent hung up", "silence"]),
        "usage": usage,
        "owned_usd": bill.owned_usd(usage),
        "rented_usd": {stack: cost.total_usd for stack, cost in rented.items()},
        "turns": turns,
        "latencies_ms": tuple(600 + 500 * chance.random() for _ in range(turns)),
        "dialled": "+15550199000",
        "trunk": "telnyx",
        "profile": chance.choice(["", "billing", "booking"]),
        "workflow": chance.choice(["", "appointments", "invoices"]),
        "tenant": "harbour-clinic",
        "outcome": chance.choice(["", "resolved", "transferred", "abandoned"]),
        "owned_lines": {
            view.value: None if cost is None else cost.lines_usd for view, cost in owned.items()
        },
        "rented_lines": {stack: cost.lines_usd for stack, cost in rented.items()},
        "devices": {"stt": "cpu", "llm": "cpu", "tts": "cpu"},
    }
    return CallRecord(**{**fields, **changes})


def the_turns(began_s: float) -> list[TurnRecord]:
    """Of the call that is looked at: four of them, one cut short."""
    turns = []
    for number, (heard, answer) in enumerate(SAID):
        at_s = began_s + 0.2 + number * 16
        spoken = number > 0
        trace = TurnTrace(
            number,
            speech_end_s=at_s if spoken else None,
            end_of_turn_s=at_s + 0.31 if spoken else None,
            transcript_s=at_s + 0.28 if spoken else None,
            first_token_s=at_s + 0.45 + 0.08 * number if spoken else None,
            first_clause_s=at_s + 0.62 + 0.08 * number if spoken else None,
            first_audio_s=at_s + 0.78 + 0.08 * number,
            first_packet_s=at_s + 0.81 + 0.08 * number,
            interrupted=number == 2,
        )
        turns.append(
            TurnRecord(
                CALL_ID,
                number,
                heard,
                answer,
                number == 2,
                trace,
                a_usage(1, 0.0),
                owned_usd=Decimal("0.0000631"),
            )
        )
    return turns


def write_recording(path: Path, seconds: float = CALL_S) -> None:
    """The caller's buzz and the agent's by turns, as `telephony.recording` writes them."""
    at_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    voice = np.sin(2 * np.pi * 180 * at_s) * (0.55 + 0.45 * np.sin(2 * np.pi * 3.1 * at_s))
    phase = (at_s % 16) / 16
    sides = [
        np.where((phase > a) & (phase < b), voice, 0.0) for a, b in ((0.72, 0.99), (0.06, 0.5))
    ]
    samples = (np.stack(sides, axis=1) * [9000, 14000]).astype("<i2")
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())


@dataclass
class StandInCall:
    """What the live calls ask a call."""

    config: Config
    bill: Bill
    call_id: str = LIVE_ID
    door: str = "sip"
    caller: str = "+15550107777"
    origin: Origin = Origin(dialled="+15550199000", trunk="telnyx", profile="booking")
    outcome: str = ""
    on_hold: bool = False
    agent_speaking: bool = True
    agent_busy: bool = True
    began_s: float = 0.0
    turns: int = 2

    @property
    def usage(self) -> Usage:
        return a_usage(self.turns, time.monotonic() - self.began_s)


class RecordedBox(Box):
    """Its calls are the test's."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.folder = folder
        super().__init__(
            config,
            None,  # type: ignore[arg-type]
            CallStore(folder / "calls.sqlite3"),
            Bill.load(config),
        )

    @property
    def live(self) -> LiveCalls:
        (live,) = (each for each in self.watchers if isinstance(each, LiveCalls))
        return live

    def fill(self, calls: int = 60) -> None:
        """Calls of the last days, and the one that is looked at: the latest."""
        now = datetime.now(UTC)
        for number in range(calls):
            self.store.end_call(
                a_call(self.bill, number, now - timedelta(minutes=47 * number + 30))
            )
        recording = self.folder / "audio" / f"{CALL_ID}.wav"
        write_recording(recording)
        began = now - timedelta(seconds=CALL_S + 5)
        call = a_call(
            self.bill,
            4242,
            began,
            call_id=CALL_ID,
            usage=a_usage(3, CALL_S),
            ended_at=began + timedelta(seconds=CALL_S),
            caller="+15550142424",
            door="sip",
            turns=3,
            latencies_ms=(890.0, 970.0, 1050.0),
            profile="booking",
            workflow="appointments",
            outcome="resolved",
            outcome_value_usd=Decimal("12.50"),
            cause="caller hung up",
            recording=str(recording),
        )
        self.store.end_call(call)
        for turn in the_turns(time.monotonic() - CALL_S - 5):
            self.store.add_turn(turn)
        for at_s, kind, detail in (
            (21.0, "key", {"who": "caller", "key": "4"}),
            (34.5, "interrupted", {"turn": 2}),
            (60.0, "outcome", {"outcome": "resolved", "value_usd": "12.50"}),
        ):
            at = began + timedelta(seconds=at_s)
            self.store.add_event(EventRecord(CALL_ID, at, kind, detail))
        assert self.store.flush(20)

    def call_in(self) -> StandInCall:
        """Somebody calls, and has said something."""
        call = StandInCall(self.config, self.bill, began_s=time.monotonic() - 41)
        began = datetime.now(UTC) - timedelta(seconds=41)
        record = a_call(
            self.bill,
            7,
            began,
            call_id=LIVE_ID,
            ended_at=None,
            cause=None,
            caller=call.caller,
            usage=Usage(),
            owned_usd=None,
            rented_usd={},
            owned_lines={},
            rented_lines={},
            outcome="",
            latencies_ms=(),
            door=call.door,
            profile=call.origin.profile,
            workflow="",
        )
        self._runs[LIVE_ID] = call  # type: ignore[assignment]
        self.store.start_call(record)
        turn = replace(the_turns(time.monotonic() - 41)[1], call_id=LIVE_ID)
        self.store.add_turn(turn)
        self.live.began(call)  # type: ignore[arg-type]
        self.live.turn_over(call, turn)  # type: ignore[arg-type]
        assert self.store.flush(20)
        return call

    def hang_up(self, call: StandInCall) -> None:
        """The caller has gone."""
        record = self.store.call(call.call_id)
        assert record is not None
        over = replace(
            record[0],
            ended_at=datetime.now(UTC),
            cause="caller hung up",
            usage=a_usage(2, 41.0),
            owned_usd=Decimal("0.0031"),
        )
        self.store.end_call(over)
        assert self.store.flush(20)
        self.live.ended(call, over)  # type: ignore[arg-type]
        del self._runs[call.call_id]


@asynccontextmanager
async def recorded_box(
    folder: Path, server: Mapping[str, Any] | None = None
) -> AsyncIterator[tuple[RecordedBox, str]]:
    """A box and the address of its pages."""
    config = Config.model_validate(
        {"server": {"port": 0, **(server or {})}, "records": {"path": folder / "calls.sqlite3"}}
    )
    box = RecordedBox(config, folder)
    try:
        async with WebServer(config.server) as door:
            await door.start(box)
            yield box, door.url
    finally:
        await asyncio.to_thread(box.store.close)
