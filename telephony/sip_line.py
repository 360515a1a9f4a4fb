"""One SIP call's audio: native RTP on one side, 20 ms frames at a fixed rate on the other."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator

import numpy as np
from baresip import (
    AudioNotActive,
    AudioRestarted,
    BaresipError,
    Call,
    CallStats,
    Event,
    RuntimeDead,
    StackEvent,
    StaleHandleError,
)
from baresip import TransferFailed as BaresipTransferFailed
from baresip.audio import AudioInfo
from baresip.call import CallState
from numpy.typing import NDArray

from telephony.continuity import Continuity
from telephony.resampling import Resampler
from telephony.sip_replies import Replies
from telephony.sip_text import shown
from telephony.transport import (
    FRAME_S,
    ControlFailed,
    Digit,
    HangupCause,
    Held,
    LineControl,
    LineEvent,
    TransferFailed,
    frame_bytes,
)
from telephony.wire_bytes import BYTES_A_S, WireBytes

log = logging.getLogger(__name__)

QUEUE_FRAMES = 50
"""A second of audio. When the agent does not read, the oldest frame is dropped."""
LEAD_S = 0.08
"""Audio written ahead of the wire: a busy interpreter may be this late unheard. An
interruption takes it back."""
WRITTEN_S = 0.2
"""How much of what was written is kept, to be given back where it is taken back."""
READ_BYTES = 1 << 16
WIDEBAND_HZ = 16000
"""What Opus is decoded to: no engine here hears above it."""
TRANSFER_LIMIT_S = 32.0
"""RFC 3515 sets no limit; a phone rings for this long."""
KEY_PAUSE_S = 0.04
"""Nobody presses a key twice within this (ITU-T Q.24): a packet of it came late."""
KEY_LIMIT_S = 0.2
"""A key acts now, though it may be held on: all packets that say it was released may be lost."""
REFRESH_TRIES = 10
REFRESH_PAUSE_S = 0.2
"""A hold may have to wait for another exchange on the same call (RFC 3261, 14.1: 491)."""
GONE_REASONS = ("rtp stream error", "Connection timed out", "Session timed out")
"""How the stack words the end of a call whose far end fell silent."""
TRANSFER_DONE = "Call transfered"
"""How it words that of a call whose far end reported that a transfer succeeded."""


class SipLine:
    """A call of `telephony.sip.SipStack`. ``poll`` is called every 10 ms while it lasts."""

    door = "sip"

    def __init__(
        self, call: Call, caller: str, dialled: str, replies: Replies | None = None
    ) -> None:
        self.caller = caller
        self.dialled = dialled
        self.cause = HangupCause.CALLER_HUNG_UP
        self.control: LineControl | None = self
        self.sip_call_id = shown(call.call_id or "")
        self.on_sent: Callable[[bytes], None] = lambda pcm: None
        """Told of each frame that the stack took; not of those that nobody will hear."""
        self._call = call
        self._replies = replies or Replies()
        self._transferring = False
        """Whether a REFER is out that nobody refused."""
        self._hung_up = False
        self._info: AudioInfo | None = _audio_of(call)
        rate_hz = self._info.rx_sample_rate if self._info else 8000
        self.sample_rate_hz = min(rate_hz, WIDEBAND_HZ)
        self._frame_bytes = frame_bytes(self.sample_rate_hz)
        self._frames: asyncio.Queue[bytes | LineEvent | None] = asyncio.Queue(QUEUE_FRAMES)
        self._pending = bytearray()
        self._written = bytearray()
        """The end of what was written, at the line's rate."""
        self._continuity = Continuity(self.sample_rate_hz)
        self._room = asyncio.Event()
        self._over = asyncio.Event()
        self._held = False
        self._pressed: tuple[str, float] | None = None
        """The key that is down, and since when."""
        self._released = ("", -KEY_PAUSE_S)
        self._tune()
        # Opus takes what its encoder makes of the sound: the first report tells.
        nominal = BYTES_A_S if rate_hz <= WIDEBAND_HZ else 0.0
        self._bytes = WireBytes(time.monotonic(), nominal)
        call.on(self._on_event)
        call.on_rtcp(self._count)
        # What happened before there was a line to tell it to.
        if call.remote_on_hold:
            self._hold(True)
        if call.state is CallState.CLOSED:
            self._end("")

    # -- what the agent does

    async def receive(self) -> bytes | LineEvent | None:
        """The next 20 ms or event; None once the call is over."""
        if self._over.is_set() and self._frames.empty():
            return None
        return await self._frames.get()

    async def send(self, pcm: bytes) -> None:
        """Writes 20 ms; returns when less than ``LEAD_S`` waits for the wire."""
        if not self._write(pcm):
            # Held, or being renegotiated: time passes as if it were heard.
            await asyncio.sleep(FRAME_S)
            return
        self._written += pcm
        del self._written[: -round(WRITTEN_S / FRAME_S) * self._frame_bytes]
        self.on_sent(pcm)
        if self.ahead_s > LEAD_S:
            self._room.clear()
            await self._room.wait()

    @property
    def ahead_s(self) -> float:
        """Seconds of what was sent that wait for the wire."""
        try:
            info = self._call.audio.info()
        except AudioNotActive:
            return 0.0
        bytes_a_s = info.tx_sample_rate * info.tx_channels * 2
        return info.tx_buffered / bytes_a_s if bytes_a_s else 0.0

    @property
    def carried_bytes(self) -> tuple[int, int]:
        """RTP payloads from the far end, and to it: as reported last, and reckoned on since."""
        return self._bytes.at(time.monotonic())

    def flush(self) -> bytes:
        """Takes back what is not on the wire, and gives it; one packet may still go out."""
        waiting = round(self.ahead_s / FRAME_S) * self._frame_bytes
        try:
            self._call.audio.flush_tx()
        except (AudioNotActive, AudioRestarted):
            return b""
        taken = bytes(self._written[-waiting:]) if waiting else b""
        self._written.clear()
        return taken

    async def hang_up(self) -> None:
        """Sends BYE, or refuses a call that is not answered yet. Harmless when it is over."""
        if self._hung_up or self._call.state is CallState.CLOSED:
            return
        # A line that failed is over before its call is.
        self._hung_up, self._transferring = True, False
        try:
            await self._call.hangup()
        except (StaleHandleError, RuntimeDead):
            log.debug("sip call %s: over before it was hung up", self.sip_call_id)
        except BaresipError as error:
            log.warning("sip call %s: not hung up: %s", self.sip_call_id, error)
        self._end("")

    def fail(self) -> None:
        """Ends the line where its audio, or the stack that carried it, is no more."""
        if not self._over.is_set():
            self.cause = HangupCause.FAILED
            self._end("its audio failed")

    # -- LineControl

    async def send_digits(self, digits: str) -> None:
        """Presses keys, as RFC 4733 events or INFO, by the account. Raises ValueError."""
        try:
            await self._call.send_dtmf(digits)
        except StaleHandleError:
            log.debug("sip call %s: over before its digits were sent", self.sip_call_id)
        except BaresipError as error:
            raise ControlFailed(f"the keys were not sent: {error}") from error

    async def hold(self) -> None:
        """Puts the far end on hold with a re-INVITE."""
        await self._refresh(self._call.hold)

    async def resume(self) -> None:
        """Takes the far end back with a re-INVITE."""
        await self._refresh(self._call.resume)

    async def transfer(self, target: str) -> None:
        """Blind transfer (REFER); the call is over once the far end reports success.

        Many a carrier reports nothing: it accepts the REFER, and hangs up. Raises TransferFailed;
        the call then goes on, unless the far end hung up for another reason.
        """
        self._replies.forget(self._call.call_id or "", "REFER")
        self._transferring = True
        try:
            await self._call.transfer(target, timeout=TRANSFER_LIMIT_S)
        except BaresipTransferFailed as error:
            if self.cause is HangupCause.TRANSFERRED:
                return
            status = f" ({error.status})" if error.status else ""
            raise TransferFailed(f"{target} was not reached{status}: {error}") from error
        except (BaresipError, ValueError) as error:
            raise TransferFailed(f"the call cannot be handed to {target}: {error}") from error
        finally:
            self._transferring = False

    async def _refresh(self, change: Callable[[], Awaitable[None]]) -> None:
        for _ in range(REFRESH_TRIES):
            try:
                await change()
                return
            except StaleHandleError:
                return
            except BaresipError as error:
                failure = error
                await asyncio.sleep(REFRESH_PAUSE_S)
        raise ControlFailed(str(failure)) from failure

    # -- what the stack does

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self._over.is_set()

    def poll(self, now_s: float) -> None:
        """Takes what arrived since the last time, and wakes a sender that may go on."""
        if self._over.is_set():
            return
        if self._pressed is not None and now_s - self._pressed[1] >= KEY_LIMIT_S:
            self._key_up(now_s)
        try:
            self._take(self._call.audio.read(READ_BYTES), now_s)
            if not self._room.is_set() and self.ahead_s <= LEAD_S:
                self._room.set()
        except AudioRestarted:
            self._renegotiated()
        except AudioNotActive:
            # On hold, or over: its event says which.
            self._room.set()

    def _take(self, raw: bytes, now_s: float) -> None:
        pcm = self._to_line(raw) if raw else b""
        if self._held and not pcm:
            return
        correction = self._continuity.take(len(pcm) // 2, now_s)
        if correction > 0:
            self._pending += bytes(2 * correction)
        self._pending += pcm[max(0, -2 * correction) :]
        size = self._frame_bytes
        while len(self._pending) >= size:
            self._put(bytes(self._pending[:size]))
            del self._pending[:size]

    def _to_line(self, raw: bytes) -> bytes:
        info = self._info
        if info is None:
            self._renegotiated()
            info = self._info
            if info is None:
                return b""
        samples: NDArray[np.int16] = np.frombuffer(raw[: len(raw) & ~1], np.int16)
        if info.rx_channels == 2:
            stereo = samples[: len(samples) & ~1].reshape(-1, 2).astype(np.int32)
            samples = ((stereo[:, 0] + stereo[:, 1]) // 2).astype(np.int16)
        if self._down is not None:
            samples = self._down.resample(samples)
        return samples.tobytes()

    def _write(self, pcm: bytes) -> int:
        try:
            if self._info is None or not self._info.tx_ready:
                self._renegotiated()
            if self._info is None or not self._info.tx_ready:
                return 0
            samples: NDArray[np.int16] = np.frombuffer(pcm, np.int16)
            if self._up is not None:
                samples = self._up.resample(samples)
            if self._info.tx_channels == 2:
                samples = np.repeat(samples, 2)
            written: int = self._call.audio.write(samples.tobytes())
            return written
        except AudioRestarted:
            self._renegotiated()
        except AudioNotActive:
            self._info = None
        return 0

    def _renegotiated(self) -> None:
        """The streams were replaced, perhaps by another codec; the line keeps its rate."""
        self._info = _audio_of(self._call)
        self._tune()
        self._continuity.restart()

    def _tune(self) -> None:
        info, line_hz = self._info, self.sample_rate_hz
        rx_hz = info.rx_sample_rate if info else 0
        tx_hz = info.tx_sample_rate if info else 0
        self._down = _resampler(rx_hz, line_hz)
        self._up = _resampler(line_hz, tx_hz)

    def _on_event(self, event: StackEvent) -> None:
        if event.event is Event.CALL_CLOSED:
            self._closed(event.text or "")
        elif event.event is Event.CALL_TRANSFER_FAILED:
            self._transferring = False
        elif event.event is Event.CALL_HOLD:
            self._hold(True)
        elif event.event is Event.CALL_RESUME:
            self._hold(False)
        elif event.event is Event.CALL_DTMF_START and event.text:
            self._key_down(event.text, time.monotonic())
        elif event.event is Event.CALL_DTMF_END:
            self._key_up(time.monotonic())

    def _hold(self, on: bool) -> None:
        self._held = on
        self._continuity.restart()
        self._put(Held(on))

    def _key_down(self, key: str, now_s: float) -> None:
        if key == self._released[0] and now_s - self._released[1] < KEY_PAUSE_S:
            return
        # A second key while one is down: its release was lost, or INFO came in a burst.
        self._key_up(now_s)
        self._pressed = (key, now_s)

    def _key_up(self, now_s: float) -> None:
        pressed, self._pressed = self._pressed, None
        if pressed is not None:
            key, since_s = pressed
            self._released = (key, now_s)
            self._put(Digit(key, int((now_s - since_s) * 1000)))

    def _count(self, stats: CallStats, *, last: bool = False) -> None:
        now_s = time.monotonic()
        self._bytes.report(stats.rx_bytes, stats.tx_bytes, now_s)
        if last:
            self._bytes.end(now_s)

    def _closed(self, reason: str) -> None:
        """The stack ended the call: the far end hung up or is no more."""
        if (stats := self._call.final_stats) is not None:
            self._count(stats, last=True)
        if not self._over.is_set():
            if any(text in reason for text in GONE_REASONS):
                self.cause = HangupCause.CALLER_VANISHED
            elif reason == TRANSFER_DONE or (self._transferring and self._refer_accepted()):
                self.cause = HangupCause.TRANSFERRED
        self._end(reason)

    def _refer_accepted(self) -> bool:
        status = self._replies.status(self._call.call_id or "", "REFER")
        return status is not None and 200 <= status < 300

    def _end(self, reason: str) -> None:
        if self._over.is_set():
            return
        self._key_up(time.monotonic())
        self._bytes.end(time.monotonic())
        log.debug("sip call %s: over: %s", self.sip_call_id, reason or "hung up")
        self._over.set()
        self._room.set()
        self._put(None)

    def _put(self, item: bytes | LineEvent | None) -> None:
        for _ in range(QUEUE_FRAMES):
            if not self._frames.full():
                break
            oldest = self._frames.get_nowait()
            if not isinstance(oldest, bytes):
                # Audio that nobody reads is let go, a key is not.
                self._frames.put_nowait(oldest)
        if not self._frames.full():
            self._frames.put_nowait(item)


def _audio_of(call: Call) -> AudioInfo | None:
    try:
        info: AudioInfo = call.audio.info()
    except AudioNotActive:
        return None
    return info if info.rx_ready else None


def _resampler(from_hz: int, to_hz: int) -> Resampler | None:
    if not from_hz or not to_hz or from_hz == to_hz:
        return None
    return Resampler(from_hz, to_hz)


class Lines:
    """All calls of a process, polled by one task; it sleeps while there are none."""

    def __init__(self, interval_s: float = 0.01) -> None:
        self._interval_s = interval_s
        self._lines: set[SipLine] = set()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[SipLine]:
        return iter(list(self._lines))

    def add(self, line: SipLine) -> None:
        """Polls ``line`` until it is over."""
        self._lines.add(line)
        self._some.set()

    async def service(self) -> None:
        """Polls until cancelled."""
        while True:
            await self._some.wait()
            now_s = time.monotonic()
            for line in self:
                try:
                    line.poll(now_s)
                except Exception:  # one call fails, the others are heard on
                    log.exception("sip call %s: its audio failed", line.sip_call_id)
                    line.fail()
                if line.over:
                    self._lines.discard(line)
            if not self._lines:
                self._some.clear()
            await asyncio.sleep(self._interval_s)
