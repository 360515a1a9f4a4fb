"""The WebRTC door: an SDP offer in, a running call out.

Uses Pipecat's small WebRTC transport, and so lives beside the pipeline and not in telephony.
"""

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any, cast

from aiortc.rtcrtpreceiver import RemoteStreamTrack
from aiortc.sdp import SessionDescription
from pipecat.frames.frames import Frame, InterruptionFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import (
    SmallWebRTCOutputTransport,
    SmallWebRTCTransport,
)

from agent.box import Box
from agent.playout_gate import PlayoutGate
from agent.web.audio_track import AudioTrack
from agent.web.packet_inlet import CountingBuffer, OpusInlet
from telephony.transport import HangupCause

log = logging.getLogger(__name__)

RATE_IN_HZ = 16000
"""What the recogniser and the detectors take."""
RATE_OUT_HZ = 24000
CONNECT_LIMIT_S = 15
"""An offer whose media does not connect within this is given up."""
ANSWER_LIMIT_S = 10.0
AUDIO_JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
"""Private to aiortc, which has no setting for it; Pipecat replaces the one for video too."""


class BadOffer(Exception):
    """The caller's offer cannot be answered; the message says why."""


def check_offer(sdp: str) -> None:
    """Raises BadOffer unless ``sdp`` is a session description whose first medium is audio."""
    if not sdp.startswith("v=0"):
        raise BadOffer("the offer is not a session description (SDP): it must begin with v=0")
    try:
        description = SessionDescription.parse(sdp)
    except Exception as error:  # the parser raises whatever the text trips over
        raise BadOffer(f"the offer is not a session description (SDP): {error}") from error
    if not description.media:
        raise BadOffer("the offer has no media; it must offer audio")
    if description.media[0].kind != "audio":
        kinds = ", ".join(media.kind for media in description.media)
        raise BadOffer(f"the offer's first medium must be audio; it offers {kinds}")
    codecs = {codec.mimeType.lower() for codec in description.media[0].rtp.codecs}
    if not codecs & {"audio/opus", "audio/pcmu", "audio/pcma", "audio/g722"}:
        raise BadOffer("the offer has no codec in common: offer Opus, G.722 or G.711")


async def answer_offer(box: Box, sdp: str, caller: str) -> dict[str, str]:
    """Answers one offer with a call of its own; returns the SDP answer's fields.

    Raises BadOffer where the offer is at fault, BoxFull where there is no place.
    """
    check_offer(sdp)
    connection = SmallWebRTCConnection(
        list(box.config.server.stun), connection_timeout_secs=CONNECT_LIMIT_S
    )
    call = box.new_call(
        door="webrtc",
        caller=caller,
        rate_in_hz=RATE_IN_HZ,
        rate_out_hz=RATE_OUT_HZ,
        emit=lambda event: _send(connection, event),
    )
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            await connection.initialize(sdp=sdp, type="offer")
        inlet = _hear_at_once(connection)
    except BaseException as error:  # a request cancelled at shutdown gives its place back too
        await connection.disconnect()
        await box.refuse(call)
        if not isinstance(error, Exception):
            raise
        raise BadOffer(f"the offer could not be answered: {error}") from error
    # Looked up at each frame: who listens comes later.
    track = AudioTrack(RATE_OUT_HZ, call.gate, lambda *played: call.on_played(*played))
    if isinstance(inlet, OpusInlet):
        track.speak_opus()
    call.wire = _Wire(inlet, track)
    transport = _Transport(
        connection,
        track,
        call.gate,
        TransportParams(
            audio_in_enabled=True,
            audio_in_sample_rate=RATE_IN_HZ,
            audio_out_enabled=True,
            audio_out_sample_rate=RATE_OUT_HZ,
            audio_out_10ms_chunks=2,
            audio_out_end_silence_secs=0,
        ),
    )
    # The transport closes only connections that came about; this closes any.
    run = box.start(call, transport, connection.disconnect)

    async def on_connected(*_: object) -> None:
        if run.is_connected:
            return
        # The transport has just made a track of its own, and takes ours nowhere else.
        transport._client._audio_output_track = track  # type: ignore[assignment]
        connection.replace_audio_track(track)
        run.connected()

    async def on_disconnected(*_: object) -> None:
        run.hang_up(HangupCause.CALLER_HUNG_UP)

    async def on_message(_: object, message: Any, __: str) -> None:
        if isinstance(message, dict) and message.get("type") == "hangup":
            run.hang_up(HangupCause.CALLER_HUNG_UP)

    transport.add_event_handler("on_client_connected", on_connected)
    transport.add_event_handler("on_client_disconnected", on_disconnected)
    transport.add_event_handler("on_app_message", on_message)
    answer: dict[str, str] = connection.get_answer()
    return {**answer, "call_id": call.call_id}


@dataclass(frozen=True, slots=True)
class _Wire:
    """Counts what both directions carried."""

    inlet: OpusInlet | CountingBuffer
    track: AudioTrack

    @property
    def carried_bytes(self) -> tuple[int, int]:
        """RTP payloads from the caller, and to him."""
        return self.inlet.bytes_in, self.track.bytes_out


class _Transport(SmallWebRTCTransport):
    """Drops, as the caller interrupts, the frame that waits in the track."""

    def __init__(
        self,
        connection: SmallWebRTCConnection,
        track: AudioTrack,
        gate: PlayoutGate,
        params: TransportParams,
    ) -> None:
        super().__init__(connection, params)
        self._output = _Output(self._client, track, gate, params)


class _Output(SmallWebRTCOutputTransport):
    def __init__(
        self, client: Any, track: AudioTrack, gate: PlayoutGate, params: TransportParams
    ) -> None:
        super().__init__(client, params)
        self._track = track
        self._gate = gate

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self._track.flush()
            self._gate.open()


def _hear_at_once(connection: SmallWebRTCConnection) -> OpusInlet | CountingBuffer:
    """Takes aiortc's 80 ms of jitter buffer off the caller's audio; gives what stands there now.

    It smooths playback, and nobody here plays: the recogniser takes audio as it comes.
    """
    answer = SessionDescription.parse(connection.get_answer()["sdp"])
    has_opus = answer.media[0].rtp.codecs[0].mimeType.lower() == "audio/opus"
    receiver = connection.pc.getTransceivers()[0].receiver
    heard = cast(RemoteStreamTrack, receiver.track)
    inlet = OpusInlet(heard._queue) if has_opus else CountingBuffer()
    setattr(receiver, AUDIO_JITTER_BUFFER, inlet)
    return inlet


def _send(connection: SmallWebRTCConnection, event: dict[str, Any]) -> None:
    """An event the page cannot be told is lost to the page alone; the record has it."""
    try:
        connection.send_app_message(event)
    except Exception:  # a watcher's channel must never harm the call
        log.debug("event %s not delivered: %s", event["type"], json.dumps(event), exc_info=True)
