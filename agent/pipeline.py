"""The only place where stages are wired together, and where a call is run."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from pipecat.frames.frames import TTSStoppedFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.transports.base_transport import BaseTransport
from pipecat.workers.runner import WorkerRunner

from agent.call import Call
from agent.frames import AnswerEndFrame, ClauseFrame, HoldFrame, KeyFrame
from agent.handover import Handover
from agent.menu import NOT_REACHED, Choice
from agent.stages.hearing import Hearing
from agent.stages.playout import Playout
from agent.stages.speaking import Speaking
from agent.stages.thinking import Thinking
from agent.text import speakable
from agent.turn import Turn
from telephony.transport import (
    ControlFailed,
    Digit,
    HangupCause,
    LineControl,
    LineEvent,
    TransferFailed,
)

log = logging.getLogger(__name__)

VANISHED_S = 8.0
"""A line that carries no audio at all for this long has lost its caller."""
WATCH_S = 0.5
"""How often a call is checked for having outlived its limits."""
COST_EVERY_S = 2.0
CANCEL_LIMIT_S = 5.0
SILENT_LIMIT_S = 30.0
SILENT_PAUSE_S = 0.05
"""How long, and how often, somebody who wants to speak waits for the agent to be silent."""
ANNOUNCE_LIMIT_S = 30.0
ANNOUNCE_CHECK_S = 0.02
"""How long, and how often, it is looked at whether the caller was told of the recording."""
LAST_WORDS_S = 0.4
"""What was said last may take this long to leave the far end's loudspeaker."""


def build(call: Call, transport: BaseTransport) -> PipelineWorker:
    """wire -> hearing -> thinking -> speaking -> wire -> playout."""
    stages = [
        transport.input(),
        Hearing(call),
        Thinking(call),
        Speaking(call),
        transport.output(),
        Playout(call),
    ]
    return PipelineWorker(
        Pipeline(stages),
        name=f"call-{call.call_id}",
        params=PipelineParams(
            audio_in_sample_rate=call.rate_in_hz, audio_out_sample_rate=call.rate_out_hz
        ),
        # The call's own watch knows what silence means; RTVI's events are not ours.
        idle_timeout_secs=None,
        enable_rtvi=False,
        enable_turn_tracking=False,
    )


class CannotDo(Exception):
    """The line of this call cannot do that; the message says which and why."""


class CallRun:
    """Runs one call's pipeline from greeting to hang-up."""

    def __init__(
        self,
        call: Call,
        transport: BaseTransport,
        release: Callable[[], Awaitable[None]],
        handover: Handover | None = None,
    ) -> None:
        self.call = call
        self.control: LineControl | None = None
        """What can be done to the line besides speaking; set by who has the line."""
        self._handover = handover
        """The way to a person; None where the door has none."""
        call.on_choice = self._choose
        self._release = release
        self._acting: asyncio.Task[None] | None = None
        """What the caller chose, as long as it is being done."""
        self._transferring: asyncio.Task[None] | None = None
        self._worker = build(call, transport)
        self._cause: HangupCause | None = None
        self._hang_up = asyncio.Event()
        self.over = asyncio.Event()
        """Set once nothing is left of the call."""
        self._connected = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        """Whether the caller could hear at any time."""
        return self._connected.is_set()

    def connected(self) -> None:
        """The caller can hear: the greeting may begin."""
        self._connected.set()

    def hang_up(self, cause: HangupCause) -> None:
        """Ends the call; the first cause given is the one recorded."""
        if self._cause is None:
            self._cause = cause
        self._hang_up.set()
        if self._handover is not None and self._cause is not cause:
            # The agent has left already: what goes on is between caller and person.
            self._handover.end()

    async def line_event(self, event: LineEvent) -> None:
        """Passes on what happened on the line, in order with its audio."""
        frame = KeyFrame(event.key) if isinstance(event, Digit) else HoldFrame(event.on)
        await self._worker.queue_frame(frame)

    async def say(self, text: str, *, hang_up: bool = False) -> int:
        """Has the agent say ``text`` as soon as it is silent; returns the turn's number.

        ``hang_up``: ends the call once that was heard whole. Raises CannotDo.
        """
        if self.call.on_hold:
            raise CannotDo("the call is on hold, and nobody would hear it; resume it first")
        until_s = time.monotonic() + SILENT_LIMIT_S
        while self.call.agent_busy:
            if time.monotonic() > until_s:
                raise CannotDo(f"the agent has spoken for {SILENT_LIMIT_S:g} s; try again")
            await asyncio.sleep(SILENT_PAUSE_S)
        turn = self.call.own_turn(text)
        turn.choice = Choice(text, hang_up=True) if hang_up else None
        if self.call.begin_answer(turn):
            await self._worker.queue_frames([ClauseFrame(turn, text), AnswerEndFrame(turn)])
        return turn.number

    async def send_digits(self, digits: str) -> None:
        """Presses keys towards the far end. Raises CannotDo."""
        try:
            await self._controlling().send_digits(digits)
        except ControlFailed as error:
            raise CannotDo(str(error)) from error

    async def hold(self, on: bool) -> None:
        """Puts the far end on hold, or takes it back. Raises CannotDo."""
        control = self._controlling()
        try:
            await (control.hold() if on else control.resume())
        except ControlFailed as error:
            raise CannotDo(str(error)) from error
        await self._worker.queue_frame(HoldFrame(on))

    def _controlling(self) -> LineControl:
        if self.control is None:
            raise CannotDo(f"the {self.call.door} door carries audio alone")
        return self.control

    async def transfer(self, target: str, *, introduce: bool = False) -> None:
        """Hands the caller over to ``target``. Raises TransferFailed; the call then goes on.

        ``introduce``: the box calls there itself and tells of the caller first. It belongs to the
        call, and ends with it, whoever asked for it.
        """
        if self._handover is None:
            raise TransferFailed(f"the {self.call.door} door cannot transfer calls")
        if self._transferring is not None:
            raise TransferFailed("this caller is being handed over already")
        work = self._handover.introduce if introduce else self._handover.blind
        name = f"transfer-{self.call.call_id}"
        self._transferring = transferring = asyncio.create_task(work(target), name=name)
        try:
            await asyncio.wait([transferring])
            if transferring.cancelled():
                raise TransferFailed("the call ended first")
            transferring.result()
            self.hang_up(HangupCause.TRANSFERRED)
        finally:
            if transferring.done():
                self._transferring = None

    def _choose(self, choice: Choice) -> None:
        if choice.transfer is None and not choice.hang_up:
            return
        if self._acting is not None and not self._acting.done():
            log.info("call %s: a choice is being acted upon; another is ignored", self.call.call_id)
            return
        self._acting = asyncio.create_task(self._act(choice), name=f"choice-{self.call.call_id}")

    async def _act(self, choice: Choice) -> None:
        await asyncio.sleep(LAST_WORDS_S)
        if choice.transfer is None:
            self.hang_up(HangupCause.AGENT_HUNG_UP)
            return
        try:
            await self.transfer(choice.transfer, introduce=choice.introduce)
            if choice.outcome:
                self.call.set_outcome(choice.outcome, choice.outcome_value_usd)
        except TransferFailed as error:
            log.warning("call %s: %s", self.call.call_id, error)
            self.call.failed(str(error))
            await self.say(NOT_REACHED)

    async def run(self) -> HangupCause:
        """Runs until hang-up; returns why. Leaves no task behind."""
        runner = WorkerRunner(handle_sigint=False)
        tasks: list[asyncio.Task[object]] = []
        try:
            await self._until_over(runner, tasks)
            if self._handover is not None and self._handover.reached:
                # The agent leaves; the call goes on between caller and person.
                await self.call.leave()
                self.call.emit({"type": "joined"})
                await self._stop(runner, tasks)
                tasks.clear()
                await self._handover.bridge()
        except asyncio.CancelledError:
            self.hang_up(HangupCause.BOX_STOPPED)
            raise
        finally:
            try:
                # Told before the line goes down, so that the page learns why.
                await self.call.end(self._cause or HangupCause.FAILED)
            finally:
                await self._stop(runner, tasks)
                if self._handover is not None:
                    await self._handover.close()
                await self._release()
                self.over.set()
        return self._cause or HangupCause.FAILED

    async def _until_over(self, runner: WorkerRunner, tasks: list[asyncio.Task[object]]) -> None:
        """Runs the pipeline; ``tasks`` takes what `_stop` has to end."""
        self.call.begin()
        await runner.add_workers(self._worker)
        for work, name in (
            (runner.run(), "run"),
            (self._watch(), "watch"),
            (self._hang_up.wait(), "over"),
        ):
            tasks.append(asyncio.create_task(work, name=f"{name}-{self.call.call_id}"))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        watching = tasks[1]
        if watching.done() and not watching.cancelled() and (error := watching.exception()):
            log.error("call %s: its watch failed", self.call.call_id, exc_info=error)

    async def _stop(self, runner: WorkerRunner, tasks: list[asyncio.Task[object]]) -> None:
        """Ends the pipeline, gently, and what was done beside it."""
        beside = [task for task in (self._acting, self._transferring) if task is not None]
        if tasks:
            await runner.cancel(reason=(self._cause or HangupCause.FAILED).value)
        running, watchers = tasks[:1], [*tasks[1:], *beside]
        for task in watchers:
            task.cancel()
        if not tasks and not beside:
            return
        await asyncio.wait([*running, *watchers], timeout=CANCEL_LIMIT_S)
        for task in running:
            if not task.done():
                log.error("call %s: the pipeline did not end in time", self.call.call_id)
                task.cancel()

    async def _watch(self) -> None:
        """Greets, keeps the bill current, and hangs up on a call that outlived its limits."""
        try:
            async with asyncio.timeout(VANISHED_S):
                await self._connected.wait()
        except TimeoutError:
            self.hang_up(HangupCause.CALLER_VANISHED)
            return
        self.call.caller_audio_at_s = time.monotonic()
        await self._greet()
        cost_due_s = 0.0
        while True:
            await asyncio.sleep(WATCH_S)
            now_s = time.monotonic()
            cause = self._overdue(now_s)
            if cause is not None:
                self.hang_up(cause)
                return
            if now_s >= cost_due_s:
                self.call.emit_cost()
                cost_due_s = now_s + COST_EVERY_S

    def _overdue(self, now_s: float) -> HangupCause | None:
        """Which of its limits the call has outlived."""
        call, limits = self.call, self.call.config.calls
        if call.on_hold:
            # Silence means nothing then, and a far end that vanished is not noticed.
            call.caller_audio_at_s = call.caller_spoke_at_s = now_s
            if now_s - call.held_at_s > limits.max_hold_s:
                return HangupCause.TIME_LIMIT
        if now_s - call.caller_audio_at_s > VANISHED_S:
            return HangupCause.CALLER_VANISHED
        if now_s - call.started_s > limits.max_call_s:
            return HangupCause.TIME_LIMIT
        if now_s - call.caller_spoke_at_s > limits.silence_hangup_s:
            return HangupCause.SILENCE
        return None

    async def _greet(self) -> None:
        call, greeting = self.call, self.call.config.agent.greeting
        consent = call.config.records.consent if call.record is not None else ""
        if call.record is not None and not consent:
            await call.record()
        if not consent and not greeting:
            return
        turn = call.greeting_turn()
        turn.answer = " ".join(text for text in (consent, greeting) if text)
        call.begin_answer(turn)
        if consent:
            await self._announce(turn, consent)
        said = [ClauseFrame(turn, greeting)] if greeting else []
        await self._worker.queue_frames([*said, AnswerEndFrame(turn)])

    async def _announce(self, turn: Turn, consent: str) -> None:
        """Begins to record once the caller has heard that; if it is not heard whole, never."""
        call = self.call
        call.announcing = True
        try:
            # The second has the transport send what is left over of less than a packet.
            await self._worker.queue_frames([ClauseFrame(turn, consent), TTSStoppedFrame()])
            until_s = time.monotonic() + ANNOUNCE_LIMIT_S
            while call.turn is turn and not turn.apologised and time.monotonic() < until_s:
                if turn.has_been_heard(speakable(consent)):
                    await asyncio.sleep(LAST_WORDS_S)
                    if call.record is not None:
                        await call.record()
                    return
                await asyncio.sleep(ANNOUNCE_CHECK_S)
            log.warning("call %s: not recorded: the caller could not be told", call.call_id)
        finally:
            call.announcing = False
