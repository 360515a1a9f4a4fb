"""A caller over SIP and RTP, from outside: its own messages, its own clock.

Calls any agent that speaks SIP over UDP, TCP or TLS: ours, a PBX, a carrier's trunk.
"""

import asyncio
import ipaddress
import time
from collections.abc import Callable

from latency_bench.conversation import Conversation
from latency_bench.leg import Leg
from latency_bench.recording import CallFailed, CallRecording
from latency_bench.sip.audio import LegAudio
from latency_bench.sip.call import Answered, SipCall
from latency_bench.sip.codec import CodecError, CodecFormat, codec_format
from latency_bench.sip.rtp_wire import shared_wire
from latency_bench.sip.sdp import Agreed, LocalMedia, Media
from latency_bench.sip.srtp import Srtp
from latency_bench.target import Target

FIRST_PACKET_LIMIT_S = 15.0
"""An agent that answered and sends nothing by then is not heard of any more."""
QUIET_LIMIT_S = 10.0
"""One that fell silent for so long is asked whether it is still there."""
GLANCE_S = 0.25


async def place_call(
    target: Target,
    talk: Callable[[int], Conversation],
    *,
    limit_s: float,
    stop: asyncio.Event | None = None,
    answer_limit_s: float = 30.0,
) -> CallRecording:
    """Calls the agent at ``target``, converses with it and records both sides.

    ``talk`` makes the conversation for the line's rate. ``limit_s`` counts from the answer;
    ``stop`` ends the call early with what was recorded. Many calls may be placed at once: their
    sound shares one thread. Raises CallFailed where no call came about.
    """
    try:
        form = codec_format(target.codec)
    except CodecError as error:
        raise CallFailed(str(error), "bad_codec") from None
    call = _Call(target, form, talk)
    try:
        await call.connect()
        with shared_wire() as wire:
            wire.add(call.audio)
            try:
                await call.converse(limit_s, answer_limit_s, stop)
            finally:
                wire.remove(call.audio)
        await call.hang_up()
    finally:
        call.close()
    return call.recording()


class _Call:
    """One call under way; the far end's deeds come in through `CallEvents`."""

    audio: LegAudio

    def __init__(
        self, target: Target, form: CodecFormat, talk: Callable[[int], Conversation]
    ) -> None:
        self._form = form
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._leg = Leg(talk(form.rate_hz), self._on_over)
        self._signalling = SipCall(target, self)
        self._gone = False

    def _on_over(self) -> None:
        # From the wire's thread, too.
        self._loop.call_soon_threadsafe(self._over.set)

    async def connect(self) -> None:
        """Gets ready to call. Raises CallFailed."""
        await self._signalling.open()
        try:
            self.audio = LegAudio(self._signalling.local_host, self._leg, self._form)
        except OSError as error:
            raise CallFailed(f"no port for audio: {error}") from error

    async def converse(
        self, limit_s: float, answer_limit_s: float, stop: asyncio.Event | None
    ) -> None:
        """Everything between the INVITE and the BYE. Raises CallFailed."""
        stopping = asyncio.create_task(self._stop(stop), name="sip-stop") if stop else None
        try:
            if await self._ring(answer_limit_s):
                await self._watch(limit_s)
        finally:
            if stopping is not None:
                stopping.cancel()

    async def hang_up(self) -> None:
        """Says goodbye; to an agent that is gone, without waiting for its answer."""
        if not self._gone:
            await self._signalling.hang_up()

    def close(self) -> None:
        """Frees the sockets."""
        self._signalling.close()
        if hasattr(self, "audio"):
            self.audio.socket.close()

    def recording(self) -> CallRecording:
        """What was recorded."""
        codec = f"{self._form.encoding}/{self._form.clock_hz}"
        return self._leg.recording("sip", codec, self._form.clock_hz)

    def changed(self, media: Media, agreed: Agreed) -> None:
        """The far end wants the sound elsewhere, or none."""
        if media.held:
            self._leg.note("the agent put the call on hold")
        if not media.port or not self._reaches(media.host):
            self._leg.note(f"the agent moved its audio to {media.host}:{media.port}: not followed")
            return
        self.audio.change((media.host, media.port), agreed, held=media.held)

    def hung_up(self, at_s: float, reason: str) -> None:
        """The far end ended the call."""
        self._leg.end("remote", at_s, reason)

    def referred(self, to: str) -> None:
        """The far end asks the caller to go elsewhere."""
        self._leg.transferred(to)

    def noted(self, text: str) -> None:
        """Something unusual in the signalling."""
        self._leg.note(text)

    async def _stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._leg.end("stopped", time.monotonic())

    async def _ring(self, answer_limit_s: float) -> bool:
        """Whether the call was answered; if not, it was stopped."""
        media = LocalMedia(self._signalling.local_host, self.audio.port, self._form)
        self._leg.dialled(time.monotonic())
        inviting = asyncio.create_task(
            self._signalling.invite(media, answer_limit_s), name="sip-invite"
        )
        over = asyncio.create_task(self._over.wait(), name="sip-over")
        try:
            await asyncio.wait((inviting, over), return_when=asyncio.FIRST_COMPLETED)
            if not inviting.done():
                inviting.cancel()
                await asyncio.wait((inviting,))
                await self._signalling.abandon()
                return False
            answered = inviting.result()
        finally:
            inviting.cancel()
            over.cancel()
        self._begin(answered)
        return True

    def _begin(self, answered: Answered) -> None:
        theirs, own = answered.media, answered.local
        if not self._reaches(theirs.host):
            raise CallFailed(f"the agent's audio is at {theirs.host}, out of reach", "no_audio")
        srtp = None
        if own.key is not None and theirs.key is not None:
            srtp = Srtp(own.key, theirs.key)
        self._leg.answered(answered.at_s)
        self.audio.start((theirs.host, theirs.port), answered.agreed, answered.at_s, srtp)
        if theirs.held:
            self.changed(theirs, answered.agreed)

    def _reaches(self, host: str) -> bool:
        """Only addresses, of the same kind as this side's: a name would have to be asked for."""
        own = ipaddress.ip_address(self._signalling.local_host)
        try:
            return ipaddress.ip_address(host).version == own.version
        except ValueError:
            return False

    async def _watch(self, limit_s: float) -> None:
        """Until the call is over: the limit, and whether the far end is still there."""
        began_s = asked_s = time.monotonic()
        check: asyncio.Task[str | None] | None = None
        try:
            # Not `_over`: that is set by the loop, after this had its turn.
            while not self._leg.ended:
                now_s = time.monotonic()
                last_s = self.audio.last_packet_s
                if now_s - began_s >= limit_s:
                    self._leg.end("limit", now_s, f"the call took {limit_s:g} s")
                elif last_s is None and now_s - began_s >= FIRST_PACKET_LIMIT_S:
                    limit = f"{FIRST_PACKET_LIMIT_S:g} s"
                    self._leg.end("failed", now_s, f"no packet within {limit} of the answer")
                elif broken := self._signalling.broken:
                    self._leg.broke(broken)
                elif check is not None and check.done():
                    if isinstance(error := check.exception(), Exception):
                        self._leg.broke(error)
                    elif gone := check.result():
                        self._gone = True
                        self._leg.end("failed", now_s, f"the agent is gone: {gone}")
                    check, asked_s = None, now_s
                elif check is None and (
                    self._signalling.doubtful
                    or now_s - max(last_s or began_s, asked_s) >= QUIET_LIMIT_S
                ):
                    check = asyncio.create_task(self._signalling.check(), name="sip-check")
                else:
                    left_s = min(GLANCE_S, limit_s - (now_s - began_s))
                    try:
                        async with asyncio.timeout(left_s):
                            await self._over.wait()
                    except TimeoutError:
                        continue
        finally:
            if check is not None:
                check.cancel()
