"""Hearing: the caller's audio in, the caller's turns out."""

import asyncio
import logging
import math
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import Frame, InputAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from agent.backchannel import is_backchannel
from agent.barge_in import BargedIn, OverlapBegan, OverlapEnded, WordsWanted
from agent.call import Call
from agent.ear import Ear
from agent.engines import APOLOGY
from agent.expected_answer import expected_answer
from agent.frames import AnswerEndFrame, CallerTurnFrame, ClauseFrame, HoldFrame, KeyFrame
from agent.guessing import WORDS_LOAD
from agent.menu import KEYS_PAUSE_S, Choice, Keypad, said_with_keys
from agent.overlapped_turn import Heard
from agent.quiet_fall import FellQuiet
from agent.turn_taking import (
    JudgeAgain,
    PauseBegan,
    SpeechDropped,
    SpeechResumed,
    SpeechStarted,
    TurnEnded,
    TurnSettings,
)
from models.job_queue import QueueFull
from models.schedule import GuessDropped, Scheduled
from models.stt.base import Transcript
from telephony.resampling import Resampler

log = logging.getLogger(__name__)

T = TypeVar("T")

DECODE_LIMIT_S = 20.0
"""A decode that takes longer is given up, and the turn with it."""


BUSY_DECODE_S = 0.35
"""In a busy box, where the turn model doubts that the caller has finished, words are decoded after
so much more silence: four pauses in ten are inside a sentence, and after 0.4 s one and a half."""


@dataclass(slots=True)
class _Early:
    """The recogniser's work on what was said up to a fall of the voice, before it is a pause."""

    job: Scheduled[Transcript]
    transcript: asyncio.Task[Transcript]
    audio_s: float
    fall: int
    asked_s: float = field(default_factory=time.monotonic)

    def confirm(self, deadline_s: float) -> bool:
        """It is wanted, by then; False where it came to nothing."""
        if self.job.confirm(deadline_s):
            return True
        return self.job.done() and not self.job.cancelled() and self.job.exception() is None


@dataclass(slots=True)
class _Decode:
    """The recogniser's work on the words up to one pause."""

    audio_s: float
    transcript: asyncio.Task[Transcript] = field(init=False)
    job: Scheduled[Transcript] | None = None
    asked_s: float = field(default_factory=time.monotonic)
    """When the recogniser was."""
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """The caller has likely finished: a busy box waits for that."""
    dropped: bool = False
    """The caller went on: nobody waits for it."""
    busy_s: float = 0.0
    """The recogniser's work; 0 until it is done."""
    words_s: float | None = None
    """When the words were there."""
    turn_busy_s: float = 0.0
    closed: bool = False
    """Its turn is under way, or it was dropped: no more is asked of it."""


class Hearing(FrameProcessor):
    """Follows the caller's audio; emits a ``CallerTurnFrame`` for each turn understood.

    Voice detection runs here, inline (under 0.3 ms a window); recognition and the turn model
    run on the engines' threads, begun at the first 100 ms of silence so that they are done
    when the turn is judged over.
    """

    def __init__(self, call: Call) -> None:
        super().__init__(name=f"hearing-{call.call_id}")
        self._call = call
        self._rate_hz = call.rate_in_hz
        self._ear = Ear(
            call.engines.vad.open(self._rate_hz),
            self._rate_hz,
            TurnSettings(**call.config.turn.model_dump()),
        )
        self._echo_reference: dict[int, list[Resampler]] = {}
        """By the rate of what goes out."""
        call.on_played = self._played
        call.on_leave = self._leave
        self._decodes: dict[int, _Decode] = {}
        self._early: _Early | None = None
        self._saying = False
        """The caller speaks, and does not pause."""
        # Pipecat's own tasks swallow what goes wrong in them; these are awaited for it.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._keypad = Keypad()
        self._keys_pause: asyncio.Task[None] | None = None
        self._vad_counted_s = 0.0
        """Of the call's voice detection, what earlier turns were given."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Takes audio; passes everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            await self._hear(frame.audio, time.monotonic())
        elif isinstance(frame, KeyFrame):
            if not self._call.announcing:
                await self._press(frame.key)
        elif isinstance(frame, HoldFrame):
            await self._hold(frame.on)
        else:
            await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        """Ends the work of a call that is over."""
        await super().cleanup()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _own(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=f"{name}-{self._call.call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._tell)
        return task

    def _tell(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, GuessDropped):
            log.debug("call %s: nothing decoded ahead: %s", self._call.call_id, error)
        else:
            log.error("%s failed", task.get_name(), exc_info=error)

    def _played(self, pcm: bytes, rate_hz: int, at_s: float) -> None:
        """Takes what goes out, which may come back as an echo."""
        samples = np.frombuffer(pcm, np.int16)
        if rate_hz not in self._echo_reference:
            self._echo_reference[rate_hz] = reference_resamplers(rate_hz, self._rate_hz)
        for resampler in self._echo_reference[rate_hz]:
            samples = resampler.resample(samples)
        self._ear.played(samples.tobytes(), at_s)

    async def _hear(self, pcm: bytes, at_s: float) -> None:
        self._call.caller_audio_at_s = at_s
        self._call.on_heard(pcm, at_s)
        if self._call.on_hold or self._call.announcing:
            # What comes is the far end's music, or somebody who talks to somebody else.
            return
        self._ear.feed(pcm)
        while (decisions := self._ear.step(at_s, self._call.agent_busy)) is not None:
            self._call.vad_busy_s = self._ear.vad_busy_s
            await self._act(decisions)

    async def _act(self, decisions: list[Heard]) -> None:
        for decision in decisions:
            match decision:
                case SpeechStarted():
                    self._call.caller_speaking(True)
                    self._ear.expect(expected_answer(self._call.agent_said))
                    self._call.guessing.doubt()
                    self._saying = True
                case PauseBegan(pause=pause, speech_end_s=speech_end_s):
                    self._saying = False
                    self._call.guessing.paused()
                    self._begin_decode(pause, speech_end_s)
                case JudgeAgain(pause=pause):
                    self._judge_again(pause)
                case SpeechResumed(pause=pause):
                    self._saying = True
                    self._call.guessing.doubt()
                    self._drop(pause)
                case SpeechDropped(pause=pause):
                    self._call.guessing.drop()
                    self._drop(pause)
                    self._call.no_words()
                    self._call.caller_speaking(False)
                    await self._answer_held()
                case FellQuiet(fall=fall):
                    if self._saying:
                        self._decode_early(fall)
                case OverlapBegan():
                    self._call.gate.close()
                case WordsWanted(overlap=overlap):
                    self._own(self._hear_overlap(overlap), "overlap")
                case OverlapEnded():
                    self._call.gate.open()
                case BargedIn():
                    await self._interrupt()
                case TurnEnded():
                    self._call.caller_speaking(False)
                    # Decoded from a copy: the next turn must not begin with this one's end.
                    self._ear.forget_utterance()
                    self._own(self._finish(decision), "turn")

    async def _interrupt(self) -> None:
        """Silences the agent: the frame makes every stage drop its work on the answer."""
        log.info("call %s: the caller barged in", self._call.call_id)
        # Ended here and now: the frame reaches the end after the next turn may have begun.
        self._call.end_answer(interrupted=True)
        self._ear.agent_stopped()
        await self.broadcast_interruption()

    def _begin_decode(self, pause: int, speech_end_s: float) -> None:
        pcm = self._ear.utterance
        deadline_s = speech_end_s + self._call.config.turn.stop_s
        early, self._early = self._early, None
        if early is not None and not (early.fall == self._ear.fall and early.confirm(deadline_s)):
            self._let_go(early)
            early = None
        if early is None:
            decode = _Decode(len(pcm) / self._rate_hz)
        else:
            decode = _Decode(early.audio_s, job=early.job, asked_s=early.asked_s)
        work = self._understand(pause, decode, pcm, deadline_s, early)
        decode.transcript = self._own(work, "stt")
        self._decodes[pause] = decode
        self._own(self._judge(pause, decode, pcm, deadline_s), "judge")

    def _judge_again(self, pause: int) -> None:
        decode = self._decodes.get(pause)
        # The turn model's work is half the recogniser's: asked twice only where there is room.
        if decode is not None and not self._call.agent_speaking and self._call.guessing.room():
            work = self._judge(pause, decode, self._ear.utterance, time.monotonic())
            self._own(work, "judge")

    async def _understand(
        self,
        pause: int,
        decode: _Decode,
        pcm: NDArray[np.int16],
        deadline_s: float,
        early: _Early | None,
    ) -> Transcript:
        """Decodes the words up to a pause, and begins to answer them where there is room.

        ``early``: what decodes them already.
        """
        if early is not None:
            transcript = await early.transcript
        else:
            if not self._call.guessing.room():
                with suppress(TimeoutError):
                    async with asyncio.timeout(BUSY_DECODE_S):
                        await decode.wanted.wait()
            decode.job = self._recognise(pcm, deadline_s)
            transcript = await self._transcript(decode.job, len(pcm))
        decode.words_s, decode.busy_s = time.monotonic(), transcript.busy_s
        text = transcript.text.strip()
        if decode.dropped:
            self._call.discarded(transcript.busy_s)
        if decode.dropped or not self._call.guess(text, deadline_s):
            self._call.read_ahead(text)
        await self._act(self._ear.words(pause, text, time.monotonic()))
        return transcript

    async def _hear_overlap(self, overlap: int) -> None:
        """What was said over the agent decides whether it stops."""
        pcm, now_s = self._ear.overlap_audio, time.monotonic()
        try:
            transcript = await self._transcript(self._recognise(pcm, now_s), len(pcm))
        except Exception:  # the overlap ends undecided, and the agent goes on
            log.exception("call %s: words over the agent were not recognised", self._call.call_id)
            return
        self._call.discarded(transcript.busy_s)
        log.debug("call %s: over the agent: %r", self._call.call_id, transcript.text)
        await self._act(self._ear.overlap_words(overlap, transcript.text, time.monotonic()))

    def _recognise(
        self, pcm: NDArray[np.int16], deadline_s: float, *, guess: bool = False
    ) -> Scheduled[Transcript]:
        engines = self._call.engines
        utterance = (pcm, self._rate_hz)
        return engines.schedule.submit_to(engines.recognition, utterance, deadline_s, guess=guess)

    async def _transcript(self, job: Scheduled[Transcript], samples: int) -> Transcript:
        async with asyncio.timeout(DECODE_LIMIT_S):
            transcript = await asyncio.wrap_future(job)
        self._call.decoded(transcript.text.strip(), samples / self._rate_hz, transcript.busy_s)
        return transcript

    def _decode_early(self, fall: int) -> None:
        """Decodes what was said so far: it may be all, and if not, the model has read it."""
        if self._call.agent_busy or not self._call.guessing.room(WORDS_LOAD):
            return
        self._let_go_early()
        pcm = self._ear.utterance
        try:
            job = self._recognise(pcm, time.monotonic() + self._call.config.turn.stop_s, guess=True)
        except QueueFull as error:
            log.debug("call %s: nothing decoded ahead: %s", self._call.call_id, error)
            return
        transcript = self._own(self._transcript(job, len(pcm)), "stt-early")
        self._early = _Early(job, transcript, len(pcm) / self._rate_hz, fall)
        self._own(self._read_early(transcript), "read-early")

    async def _read_early(self, transcribing: asyncio.Task[Transcript]) -> None:
        try:
            transcript = await asyncio.shield(transcribing)
        except Exception:  # told of by the task itself, or by the turn that takes its words
            return
        if self._saying:
            self._call.read_ahead(transcript.text.strip())

    def _let_go_early(self) -> None:
        early, self._early = self._early, None
        if early is not None:
            self._let_go(early)

    def _let_go(self, early: _Early) -> None:
        """Nobody waits for these words any more."""
        # Has no effect on one that runs, whose words are read ahead.
        early.job.cancel()
        self._own(self._count_discarded(early.transcript), "discarded")

    async def _count_discarded(self, transcribing: asyncio.Task[Transcript]) -> None:
        try:
            transcript = await asyncio.shield(transcribing)
        except Exception:  # told of by the task itself
            return
        self._call.discarded(transcript.busy_s)

    async def _judge(
        self, pause: int, decode: _Decode, pcm: NDArray[np.int16], deadline_s: float
    ) -> None:
        def job() -> tuple[float, float]:
            began_s = time.perf_counter()
            probability = self._call.engines.turn.completion_probability(pcm, self._rate_hz)
            return probability, time.perf_counter() - began_s

        try:
            async with asyncio.timeout(DECODE_LIMIT_S):
                probability, busy_s = await self._call.run_engine(job, deadline_s, kind="turn")
        except Exception:  # the silence alone will end the turn, a second later
            log.exception("call %s: the turn model failed", self._call.call_id)
            return
        decode.turn_busy_s += busy_s
        self._call.judged(busy_s, in_vain=decode.closed)
        if probability >= self._call.config.turn.complete_probability:
            decode.wanted.set()
        log.debug("call %s: pause %d complete %.2f", self._call.call_id, pause, probability)
        await self._act(self._ear.judge(pause, probability, time.monotonic()))

    def _drop(self, pause: int) -> None:
        """What was decoded for this pause is void; a decode not yet begun is not begun."""
        decode = self._decodes.pop(pause, None)
        if decode is None:
            return
        decode.dropped = decode.closed = True
        self._call.discarded(decode.busy_s, decode.turn_busy_s)
        if decode.job is None:
            decode.transcript.cancel()
        else:
            # Has no effect on one that runs, whose words are read ahead.
            decode.job.cancel()

    async def _finish(self, ended: TurnEnded) -> None:
        decode = self._decodes.pop(ended.pause, None)
        if decode is None:
            # A hold came between.
            return
        decode.closed = True
        judged_s = decode.turn_busy_s
        decode.wanted.set()
        try:
            transcript = await decode.transcript
        except Exception as error:  # a task ends here: the caller is told, the call goes on
            log.exception("call %s: speech recognition failed", self._call.call_id)
            self._call.failed(f"speech recognition failed: {error}")
            await self._apologise()
            return
        text = transcript.text.strip()
        if text and self._call.agent_speaking and is_backchannel(text):
            self._call.discarded(transcript.busy_s, judged_s)
            self._call.no_words()
            return
        if text and self._call.agent_busy:
            # What was heard of the answer comes before these words in the history.
            await self._interrupt()
        turn = self._call.caller_turn(text)
        if turn is None:
            self._call.discarded(transcript.busy_s, judged_s)
            await self._answer_held()
            return
        turn.speech_end_s = ended.speech_end_s
        turn.end_of_turn_s = ended.at_s
        turn.decode_s = decode.asked_s
        turn.transcript_s = decode.words_s
        turn.audio_in_s = decode.audio_s
        turn.stt_busy_s = transcript.busy_s
        turn.turn_busy_s = judged_s
        turn.vad_busy_s = self._call.vad_busy_s - self._vad_counted_s
        turn.choice = self._call.menu.for_words(text)
        self._vad_counted_s = self._call.vad_busy_s
        self._call.hold(turn)
        await self._answer_held()

    async def _answer_held(self) -> None:
        """Answers what was understood, unless the caller went on after all."""
        turn = self._call.held
        if turn is None or self._ear.speaking:
            return
        self._call.held = None
        if self._call.agent_busy:
            await self._interrupt()
        if self._call.begin_answer(turn):
            await self.push_frame(CallerTurnFrame(turn))

    async def _press(self, key: str) -> None:
        """A key interrupts the agent as speech does; one of the menu's acts at once."""
        self._call.key_pressed(key)
        if self._keys_pause is not None:
            self._keys_pause.cancel()
            self._keys_pause = None
        if self._call.agent_busy:
            await self._interrupt()
        # A key of the menu acts at once, unless it stands within a number.
        choice = None if self._keypad.pending else self._call.menu.for_key(key)
        if choice is not None:
            await self._answer_keys(key, choice)
        elif self._keypad.press(key):
            await self._answer_keys(self._keypad.take(), None)
        else:
            self._keys_pause = self._own(self._pause_after_key(), "keys")

    async def _pause_after_key(self) -> None:
        await asyncio.sleep(KEYS_PAUSE_S)
        self._keys_pause = None
        await self._answer_keys(self._keypad.take(), None)

    async def _answer_keys(self, keys: str, choice: Choice | None) -> None:
        turn = self._call.caller_turn(said_with_keys(keys))
        if turn is None:
            return
        # Nothing was to be recognised: the turn was over, and understood, with its last key.
        turn.speech_end_s = turn.end_of_turn_s = turn.transcript_s = time.monotonic()
        turn.choice = choice
        if self._call.begin_answer(turn):
            await self.push_frame(CallerTurnFrame(turn))

    async def _hold(self, on: bool) -> None:
        """Nobody listens on hold: what is being said is broken off."""
        self._call.on_hold, self._call.held_at_s = on, time.monotonic()
        self._call.gate.open()
        if not on:
            await self._answer_held()
            return
        if self._call.agent_busy:
            await self._interrupt()
        # Whatever was half heard is over.
        self._saying = False
        self._let_go_early()
        for pause in list(self._decodes):
            self._drop(pause)
        self._ear.restart()
        self._call.guessing.drop()
        self._call.no_words()

    async def _leave(self) -> None:
        """The agent leaves: what nobody said to the end is let go, and counted."""
        self._saying = False
        self._let_go_early()
        for pause in list(self._decodes):
            self._drop(pause)
        if self._keys_pause is not None:
            self._keys_pause.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _apologise(self) -> None:
        """Asks the caller to say again what could not be recognised."""
        if self._ear.speaking or self._call.agent_busy:
            return
        turn = self._call.apology_turn(APOLOGY)
        if self._call.begin_answer(turn):
            await self.push_frame(ClauseFrame(turn, APOLOGY))
            await self.push_frame(AnswerEndFrame(turn))


def reference_resamplers(from_hz: int, to_hz: int) -> list[Resampler]:
    """What takes the outgoing audio to the rate of the incoming."""
    if from_hz == to_hz:
        return []
    if max(from_hz, to_hz) % min(from_hz, to_hz) == 0:
        return [Resampler(from_hz, to_hz)]
    between_hz = math.lcm(from_hz, to_hz)
    return [Resampler(from_hz, between_hz), Resampler(between_hz, to_hz)]
