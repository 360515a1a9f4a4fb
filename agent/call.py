"""One call's life: its state, its turns and what becomes of them.

It is long because it is where the stages meet: what each of them reports is counted, told and
recorded here, in one place, so that no work of a call is billed twice or to nobody.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Literal, TypeVar

from agent.answering import Answering
from agent.call_watch import CallWatcher
from agent.config import Config
from agent.conversation import Dialogue, SpokenAnswer
from agent.cost.bill import Bill
from agent.engines import Engines, sampling_of
from agent.guessing import Guessing
from agent.menu import Choice, Menu
from agent.outcome import outcome_of
from agent.playout_gate import PlayoutGate
from agent.records.record import CallRecord, EventRecord, TurnRecord
from agent.records.store import CallStore
from agent.redaction import Redaction
from agent.turn import Turn
from agent.usage import Usage
from models.llm.base import LanguageModel
from telephony.transport import CountsBytes, HangupCause

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """How a call came about, as its record keeps it."""

    direction: Literal["inbound", "outbound"] = "inbound"
    dialled: str = ""
    """The number or name that was dialled."""
    trunk: str = ""
    """The trunk that carries it; empty: none."""
    profile: str = ""
    """The profile that answers; empty: [agent] itself."""
    call_id: str = ""
    """The name that the call has already; empty: it gets one."""


DIRECT = Origin()
"""A call that came by itself, for nobody in particular."""

Emit = Callable[[dict[str, Any]], None]
"""Takes one event of docs/events.md for whoever watches the call; must not raise or block."""

UNBILLED_DOORS = frozenset({"webrtc", "loopback"})
"""Calls of all others came over a telephone line that somebody bills."""
KEPT_EVENTS = frozenset(
    ("key", "error", "interrupted", "hold", "transfer", "outcome", "budget", "recording")
)
"""Of docs/events.md, those that a record keeps; turns, words and costs have places of their own."""
COUNT_LIMIT_S = 1.0
"""How long an interrupted turn waits for its generation to be counted."""


async def _nothing() -> None:
    """Where nobody has anything to tell."""


class Call:
    """State that the stages of one call share; lives on one event loop."""

    def __init__(
        self,
        *,
        config: Config,
        engines: Engines,
        store: CallStore,
        bill: Bill,
        door: str,
        caller: str,
        rate_in_hz: int,
        rate_out_hz: int,
        origin: Origin = DIRECT,
        emit: Emit = lambda event: None,
        watchers: Sequence[CallWatcher] = (),
    ) -> None:
        self.call_id = origin.call_id or uuid.uuid4().hex[:12]
        self.config = config
        self.engines = engines
        self.door = door
        self.caller = caller
        self.origin = origin
        self.menu = Menu(config.agent.menu)
        self.on_choice: Callable[[Choice], None] = lambda choice: None
        """Told of a choice of the menu once what was to be said about it was heard."""
        self.before_answer: Callable[[Turn], Choice | None] = lambda turn: None
        """Asked before the model is: a choice is said instead, and acted upon."""
        self.outcome = ""
        """What came of the call, such as ``resolved``; empty: nobody said."""
        self.outcome_value_usd: Decimal | None = None
        """What that is worth to the business; None: nobody said."""
        self.recording = ""
        """The file with the call's sound; empty: there is none."""
        self.record: Callable[[], Awaitable[None]] | None = None
        """Begins to keep the call's sound; None: it is not to be kept."""
        self.announcing = False
        """Whether the caller is being told what must be heard whole: nobody listens meanwhile."""
        self.gate = PlayoutGate()
        """Closed, the agent's audio waits and the caller hears silence."""
        self.on_played: Callable[[bytes, int, float], None] = lambda pcm, rate_hz, at_s: None
        """Told of what goes out to the wire: PCM16 mono, its rate, when (monotonic)."""
        self.on_heard: Callable[[bytes, float], None] = lambda pcm, at_s: None
        """Told of what comes from the caller: PCM16 mono, when (monotonic)."""
        self.on_hold = False
        """Whether either side has put the call on hold."""
        self.held_at_s = 0.0
        self.wire: CountsBytes | None = None
        """What counts the bytes that it carries; None: its door counts none."""
        self.settle: Callable[[], Awaitable[None]] = _nothing
        """Has the meter of the machine tell ``metered`` what it found until now."""
        self.on_leave: Callable[[], Awaitable[None]] = _nothing
        """Lets go, and counts, what was being understood as the agent leaves."""
        self.peak_memory_bytes = 0
        """The most that the box held while the call lasted; 0: not measured."""
        self.rate_in_hz = rate_in_hz
        self.rate_out_hz = rate_out_hz
        self.dialogue = Dialogue(config.agent.persona)
        self.conversation = engines.llm.open()
        self._conversations = [self.conversation]
        """With each model that answered."""
        self.guessing = Guessing(
            engines, self.conversation, sampling_of(config), self._count_discarded
        )
        """The answer that is made before it is known that the caller has finished."""
        self.turn: Turn | None = None
        """The turn being answered."""
        self.held: Turn | None = None
        """A turn whose caller went on: what follows answers its words too."""
        self.started_s = time.monotonic()
        self.caller_audio_at_s = self.started_s
        """When audio last came from the caller."""
        self.vad_busy_s = 0.0
        """Voice detection so far, whether it led to a turn or not."""
        self.caller_speaks = False
        """Whether the caller has the floor, as far as heard."""
        self.caller_spoke_at_s = self.started_s
        """When the caller last said something."""
        self._emit = emit
        self._watchers = watchers
        self._store = store
        self._redaction = Redaction(config.records.redact)
        self._bill = bill
        self._started_at = datetime.now(UTC)
        self._turns = 0
        self._usage = Usage()
        self._metered = Usage()
        """What the meter of the machine found."""
        self._told = Usage()
        """Of that, and of the bytes carried, what earlier turns were given."""
        self._latencies_ms: list[float] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._words_shown = ""
        self._interim_shown = False
        self._over = False
        self._ended: CallRecord | None = None
        """As it was recorded at its end; None: it is not."""

    # -- life

    def begin(self) -> None:
        """Records the call and tells whoever watches."""
        log.info("call %s: began at the %s door", self.call_id, self.door)
        self._store.start_call(self._record(None))
        self._tell(watcher.began for watcher in self._watchers)
        self.conversation.prepare(self.dialogue.messages)
        self.emit(
            {
                "type": "call.started",
                "call_id": self.call_id,
                "agent": self.config.agent.name,
                "models": self.engines.models,
                "devices": self.engines.devices,
            }
        )

    async def leave(self) -> None:
        """Finishes what is under way and gives back the place in the model."""
        self._over = True
        self.guessing.drop()
        held, self.held = self.held, None
        if held is not None:
            self.unanswered(held)
        self.end_answer(interrupted=True)
        await self._in_time(self.on_leave(), "what was being understood")
        await asyncio.to_thread(self.conversation.close)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * COUNT_LIMIT_S)
        # Read ahead of an answer that never came.
        unbilled_s = max(0.0, self._llm_busy_s - self._usage.llm_busy_s)
        self._usage += Usage(llm_busy_s=unbilled_s, llm_wasted_s=unbilled_s)

    async def end(self, cause: HangupCause) -> None:
        """Leaves, unless the agent has left already, and records the call."""
        await self.leave()
        await self._in_time(self.settle(), "the machine's part")
        record = self._ended = self._record(cause)
        self._store.end_call(record)
        self._tell(partial(_ended, watcher, record) for watcher in self._watchers)
        self.emit({"type": "call.ended", "cause": cause.value})
        log.info("call %s: ended (%s) after %.1f s", self.call_id, cause.value, self.usage.call_s)

    @property
    def usage(self) -> Usage:
        """All that the call consumed so far."""
        call_s = time.monotonic() - self.started_s
        line_s = 0.0 if self.door in UNBILLED_DOORS else call_s
        return (self._usage + self._machine) + Usage(
            vad_busy_s=self.vad_busy_s,
            telephony_s=line_s,
            dialled_s=line_s if self._outbound else 0.0,
            call_s=call_s,
        )

    @property
    def started_at(self) -> datetime:
        """When it began, UTC."""
        return self._started_at

    @property
    def agent_left(self) -> bool:
        """Whether the agent says nothing any more: the call is over, or another's."""
        return self._over

    @property
    def bill(self) -> Bill:
        """What prices it."""
        return self._bill

    def metered(self, usage: Usage) -> None:
        """Counts what a meter of the machine found to be this call's."""
        self._metered += usage

    @property
    def work_s(self) -> dict[str, float]:
        """Seconds on the engines' threads by stage, of what runs now too.

        While a turn is being closed those of its speech are missing for a moment.
        """
        usage = self._usage
        speech_s = self.turn.tts_busy_s if self.turn is not None else 0.0
        return {
            "turn_taking": usage.turn_busy_s,
            "stt": usage.stt_busy_s,
            "llm": max(usage.llm_busy_s, self._llm_busy_s),
            "tts": usage.tts_busy_s + speech_s,
        }

    @property
    def _llm_busy_s(self) -> float:
        """Seconds of the models that answered, of what was read ahead too."""
        return sum(each.busy_s for each in self._conversations)

    @property
    def _machine(self) -> Usage:
        """What the machine and the wire counted for the whole call."""
        bytes_in, bytes_out = self.wire.carried_bytes if self.wire is not None else (0, 0)
        return self._metered + Usage(bytes_in=bytes_in, bytes_out=bytes_out)

    def _machine_since_last_turn(self) -> Usage:
        whole, told = self._machine, self._told
        self._told = whole
        return whole - told

    def change_model(self, llm: LanguageModel) -> None:
        """Has ``llm`` give the next answer and those after it; not while an answer is made.

        Raises EngineError where it has no place; nothing has changed then.
        """
        conversation, before = llm.open(), self.conversation
        self.guessing.drop()
        self.conversation = conversation
        self._conversations.append(conversation)
        self.guessing = Guessing(
            self.engines, conversation, sampling_of(self.config), self._count_discarded
        )
        self._own(asyncio.to_thread(before.close))

    def set_outcome(self, outcome: str, value_usd: Decimal | None = None) -> None:
        """What came of the call, and what that is worth; the last word counts."""
        self.outcome, self.outcome_value_usd = outcome, value_usd
        worth = None if value_usd is None else str(value_usd)
        self.emit({"type": "outcome", "outcome": outcome, "value_usd": worth})
        if self._ended is not None:
            # Its line is still being taken down.
            self._ended = replace(self._ended, outcome=outcome, outcome_value_usd=value_usd)
            self._store.end_call(self._ended)

    # -- what the stages report

    @property
    def agent_busy(self) -> bool:
        """Whether an answer is being made or spoken."""
        return self.turn is not None

    @property
    def agent_said(self) -> str:
        """What the caller heard of the agent last."""
        if self.turn is not None and (heard := self.turn.heard_answer):
            return heard
        said = (m.content for m in reversed(self.dialogue.messages) if m.role == "assistant")
        return next(said, "")

    @property
    def agent_speaking(self) -> bool:
        """Whether the caller hears an answer, or would if it were not held back."""
        return self.turn is not None and self.turn.first_packet_s is not None

    async def run_engine(self, job: Callable[[], T], deadline_s: float, *, kind: str = "") -> T:
        """Runs engine work on the shared processor; cancelled with the awaiting task."""
        return await asyncio.wrap_future(self.engines.schedule.submit(job, deadline_s, kind=kind))

    def caller_speaking(self, on: bool) -> None:
        """The caller took or left the floor."""
        self.caller_speaks = on
        self.caller_spoke_at_s = time.monotonic()
        self.emit({"type": "speaking", "who": "caller", "on": on})

    def decoded(self, text: str, audio_s: float, busy_s: float) -> None:
        """Counts recogniser work, whether its words will be used or not.

        The page shows ``text`` as words that may yet change.
        """
        self._usage += Usage(audio_in_s=audio_s, stt_busy_s=busy_s)
        if text and not self._over:
            self._interim_shown = True
            self._words("caller", self._turns + 1, text, final=False)

    def read_ahead(self, text: str) -> None:
        """Has the model read the words so far, so that less is to be read at the turn's end.

        Not while it answers, which the words would interrupt.
        """
        if text and not self.agent_busy and not self._over:
            self.conversation.prepare(self.dialogue.with_caller(text))

    def guess(self, text: str, wanted_s: float) -> bool:
        """Begins the answer to ``text``, should that be all; False where it may not be.

        ``wanted_s``: when that will be known, on the monotonic clock.
        """
        if not text or self.agent_busy or self._over or self.menu.for_words(text) is not None:
            self.guessing.drop()
            return False
        return self.guessing.begin(self.dialogue.with_caller(text), wanted_s)

    def discarded(self, stt_s: float, turn_s: float = 0.0) -> None:
        """Counts work, counted before, that came to nothing: the recogniser's whose words, and the
        turn model's whose judgement nobody will use."""
        self._usage += Usage(stt_wasted_s=stt_s, turn_wasted_s=turn_s)

    def judged(self, busy_s: float, *, in_vain: bool = False) -> None:
        """Counts the turn model's work; ``in_vain``: its word came too late."""
        self._usage += Usage(turn_busy_s=busy_s, turn_wasted_s=busy_s if in_vain else 0.0)

    def key_pressed(self, key: str) -> None:
        """The caller pressed a key of the telephone."""
        self.caller_spoke_at_s = time.monotonic()
        self.emit({"type": "key", "who": "caller", "key": key})

    def failed(self, message: str) -> None:
        """An engine failed on this call; the call goes on."""
        self.emit({"type": "error", "message": message})

    def caller_turn(self, text: str) -> Turn | None:
        """The caller has finished saying ``text``; None where that was nothing."""
        if not text:
            log.debug("call %s: no words in what was heard", self.call_id)
            self.no_words()
            return None
        self._interim_shown = False
        self._turns += 1
        self.dialogue.caller_said(text)
        turn = self._new_turn(self._turns)
        turn.heard = text
        self._words("caller", turn.number, text, final=True)
        return turn

    def no_words(self) -> None:
        """What seemed to be speech was none: words shown for it are taken back."""
        if self._interim_shown:
            self._interim_shown = False
            self._words("caller", self._turns + 1, "", final=False)

    def greeting_turn(self) -> Turn:
        """Turn 0: the agent speaks first."""
        turn = self._new_turn(0)
        turn.answer = self.config.agent.greeting
        return turn

    def apology_turn(self, apology: str) -> Turn:
        """A turn whose words were lost; the agent asks for them again."""
        turn = self.own_turn(apology)
        turn.apologised = True
        return turn

    def own_turn(self, text: str) -> Turn:
        """A turn that the agent takes by itself, to say ``text``."""
        self._turns += 1
        turn = self._new_turn(self._turns)
        turn.answer = text
        return turn

    def begin_answer(self, turn: Turn) -> bool:
        """From here on the caller's speech is a barge-in. False where the call is over."""
        if self._over:
            self.unanswered(turn)
            return False
        self.turn = turn
        self._words_shown = ""
        if turn.choice is not None and turn.choice.outcome and turn.choice.transfer is None:
            self.set_outcome(turn.choice.outcome, turn.choice.outcome_value_usd)
        self.gate.open()
        return True

    def hold(self, turn: Turn) -> None:
        """Keeps ``turn`` until it is known whether the caller goes on."""
        if self.held is not None:
            self.unanswered(self.held)
        self.held = turn

    def unanswered(self, turn: Turn) -> None:
        """Records a turn that gets no answer of its own; its words are in the history."""
        self._own(self._close_turn(turn))

    def played(self, samples: int, at_s: float) -> None:
        """``samples`` more of the answer were handed to the wire."""
        turn = self.turn
        if turn is None or not turn.spoken.samples:
            # What is left of an answer that was interrupted.
            return
        turn.played_samples += samples
        turn.last_packet_s = at_s
        if turn.first_packet_s is None and turn.played_samples > turn.spoken.filler_samples:
            turn.first_packet_s = at_s
            self.emit({"type": "speaking", "who": "agent", "on": True})
        heard = turn.heard_answer
        if heard != self._words_shown:
            self._words_shown = heard
            self._words("agent", turn.number, heard, final=False)

    def end_answer(self, interrupted: bool) -> None:
        """The answer under way, if any, is over."""
        turn, self.turn = self.turn, None
        if turn is None:
            return
        turn.interrupted = interrupted
        if turn.answering is not None and interrupted:
            turn.answering.cancel()
        heard = turn.heard_answer
        # An answer heard whole is kept as the model wrote it: those tokens are evaluated.
        self.dialogue.agent_said(heard if interrupted else turn.answer, interrupted)
        if not self._over:
            self.conversation.prepare(self.dialogue.messages)
        if turn.first_packet_s is not None:
            self.emit({"type": "speaking", "who": "agent", "on": False})
        if interrupted:
            self.emit({"type": "interrupted", "turn": turn.number})
        self._words("agent", turn.number, heard, final=True)
        self._own(self._close_turn(turn))
        if turn.choice is not None and not interrupted and not self._over:
            self.on_choice(turn.choice)

    async def _close_turn(self, turn: Turn) -> None:
        """Records a turn once its generation is counted."""
        try:
            async with asyncio.timeout(COUNT_LIMIT_S):
                if turn.answering is not None:
                    await turn.answering.ended.wait()
                for voice in turn.voices:
                    await voice.settled()
        except TimeoutError:
            log.warning("call %s: turn %d was not counted in time", self.call_id, turn.number)
        await self._in_time(self.settle(), "the machine's part")
        trace, work = turn.trace(), turn.usage()
        # Hearing is in the call's usage already, with what was heard in vain.
        self._usage += replace(
            work, audio_in_s=0.0, stt_busy_s=0.0, turn_busy_s=0.0, vad_busy_s=0.0
        )
        usage = work + self._machine_since_last_turn()
        if turn.number and trace.total_ms is not None:
            self._latencies_ms.append(trace.total_ms)
        log.info(
            "turn",
            extra={
                "call_id": self.call_id,
                "turn": turn.number,
                "heard": turn.heard,
                "answer": turn.heard_answer,
                "interrupted": turn.interrupted,
                "stages_ms": trace.stages_ms(),
                "total_ms": trace.total_ms,
                "usage": asdict(usage),
            },
        )
        record = TurnRecord(
            call_id=self.call_id,
            turn=turn.number,
            heard=self._redaction.text(turn.heard),
            answer=self._redaction.text(turn.heard_answer),
            interrupted=turn.interrupted,
            trace=trace,
            usage=usage,
            owned_usd=self._bill.work_usd(usage),
        )
        self._store.add_turn(record)
        self._store.update_call(self._record(None))
        self._tell(partial(_turn_over, watcher, record) for watcher in self._watchers)
        self.emit(
            {
                "type": "turn",
                "turn": turn.number,
                "heard": turn.heard,
                "answer": turn.heard_answer,
                "interrupted": turn.interrupted,
                "stages_ms": trace.stages_ms(),
                "at_ms": trace.at_ms(),
                "total_ms": trace.total_ms,
                "usage": asdict(usage),
            }
        )
        self.emit_cost()

    def emit_cost(self) -> None:
        """Tells what the call has cost so far."""
        self.emit({"type": "cost", **self._bill.to_json(self.usage, outbound=self._outbound)})

    # -- own affairs

    def _count_discarded(self, guess: Answering) -> None:
        self._own(self._discard(guess))

    async def _discard(self, guess: Answering) -> None:
        try:
            async with asyncio.timeout(COUNT_LIMIT_S):
                await guess.settled()
        except TimeoutError:
            log.warning("call %s: a guess was not counted whole in time", self.call_id)
        llm_s = guess.usage.busy_s
        tts_s = guess.voice.busy_s if guess.voice is not None else 0.0
        self._usage += Usage(
            discarded_tokens=guess.usage.generated_tokens,
            llm_busy_s=llm_s,
            llm_wasted_s=llm_s,
            tts_busy_s=tts_s,
            tts_wasted_s=tts_s,
        )

    def emit(self, event: dict[str, Any]) -> None:
        """Sends one event to whoever watches, and keeps what a record tells of."""
        if event["type"] in KEPT_EVENTS:
            detail = self._redaction.event({k: v for k, v in event.items() if k != "type"})
            at = datetime.now(UTC)
            self._store.add_event(EventRecord(self.call_id, at, event["type"], detail))
        self._emit(event)

    async def _in_time(self, counting: Awaitable[None], what: str) -> None:
        """Waits for what is yet to be counted, but not for ever."""
        try:
            async with asyncio.timeout(COUNT_LIMIT_S):
                await counting
        except TimeoutError:
            log.warning("call %s: %s was not counted in time", self.call_id, what)

    def _tell(self, told: Iterable[Callable[["Call"], None]]) -> None:
        for tell in told:
            try:
                tell(self)
            except Exception:  # of whatever kind, a watcher's fault is not the call's
                log.exception("call %s: a watcher failed", self.call_id)

    def _words(self, who: str, turn: int, text: str, *, final: bool) -> None:
        self.emit({"type": "words", "who": who, "turn": turn, "text": text, "final": final})

    def _new_turn(self, number: int) -> Turn:
        return Turn(number, SpokenAnswer(self.rate_out_hz))

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"call-{self.call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(partial(_report, self.call_id))

    @property
    def _outbound(self) -> bool:
        return self.origin.direction == "outbound"

    def _record(self, cause: HangupCause | None) -> CallRecord:
        usage = self.usage
        owned = self._bill.owned(usage, outbound=self._outbound) if cause else {}
        rented = self._bill.rented(usage) if cause else {}
        return CallRecord(
            call_id=self.call_id,
            started_at=self._started_at,
            door=self.door,
            caller=self.caller,
            agent=self.config.agent.name,
            ended_at=datetime.now(UTC) if cause else None,
            cause=cause.value if cause else None,
            usage=usage,
            owned_usd=self._bill.owned_usd(usage, outbound=self._outbound) if cause else None,
            rented_usd={stack: cost.total_usd for stack, cost in rented.items()},
            owned_lines={
                view.value: None if cost is None else cost.lines_usd for view, cost in owned.items()
            },
            rented_lines={stack: cost.lines_usd for stack, cost in rented.items()},
            turns=self._turns,
            latencies_ms=tuple(self._latencies_ms),
            direction=self.origin.direction,
            dialled=self.origin.dialled,
            trunk=self.origin.trunk,
            profile=self.origin.profile,
            workflow=self.config.agent.workflow,
            tenant=self.config.agent.tenant,
            outcome=outcome_of(self.outcome, cause, usage.turns) if cause else self.outcome,
            outcome_value_usd=self.outcome_value_usd,
            recording=self.recording,
            devices=dict(self.engines.devices),
            peak_memory_bytes=self.peak_memory_bytes,
        )


def _report(call_id: str, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("call %s: a turn could not be recorded", call_id, exc_info=error)


def _turn_over(watcher: CallWatcher, record: TurnRecord, call: Call) -> None:
    watcher.turn_over(call, record)


def _ended(watcher: CallWatcher, record: CallRecord, call: Call) -> None:
    watcher.ended(call, record)
