"""The codecs of a SIP call, and the sound of a leg made of packets that came or did not."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

from latency_bench.conversation import Conversation
from latency_bench.leg import Leg
from latency_bench.sip.audio import LegAudio
from latency_bench.sip.codec import FORMATS, CodecError, codec_format, open_codec
from latency_bench.sip.rtp_packet import RtpPacket, parse_rtp
from latency_bench.sip.sdp import Agreed
from latency_bench.sip.srtp import Srtp, fresh_key

DELAY_S = 0.003
"""Of the slowest codec: what it looks ahead, and its filters."""
PEER = ("127.0.0.1", 9)


@pytest.mark.parametrize("name", FORMATS)
def test_a_burst_comes_out_where_it_went_in(name: str) -> None:
    form = FORMATS[name]
    codec, frame = open_codec(form), form.rate_hz // 50
    pcm = np.zeros(50 * frame, np.int16)
    at = np.arange(20 * frame)
    pcm[20 * frame : 40 * frame] = 8000 * np.cos(2 * np.pi * 500 * at / form.rate_hz)
    out = [codec.decode(codec.encode(pcm[n : n + frame])) for n in range(0, len(pcm), frame)]
    assert {len(piece) for piece in out} == {frame}
    heard = np.concatenate(out).astype(int)
    onset = int(np.argmax(np.abs(heard) > 2000))
    assert 0 <= (onset - 20 * frame) / form.rate_hz < DELAY_S
    level = np.std(heard[25 * frame : 38 * frame])
    assert level == pytest.approx(8000 / np.sqrt(2), rel=0.1)


def test_clocks_are_those_of_the_standards() -> None:
    assert {n: (f.rtpmap, f.rate_hz) for n, f in FORMATS.items()} == {
        "pcmu": ("PCMU/8000", 8000),
        "pcma": ("PCMA/8000", 8000),
        "g722": ("G722/8000", 16_000),
        "opus": ("opus/48000/2", 48_000),
    }


def test_an_unknown_codec_is_told() -> None:
    assert codec_format(None).name == "pcmu"
    with pytest.raises(CodecError, match="'gsm' is unknown: use pcmu, pcma, g722, opus"):
        codec_format("gsm")


def test_what_opus_cannot_read_is_told() -> None:
    with pytest.raises(CodecError, match="bytes cannot be decoded"):
        open_codec(FORMATS["opus"]).decode(b"\xff" * 7)


@contextlib.contextmanager
def _audio(name: str = "pcmu", srtp: Srtp | None = None) -> Iterator[tuple[Leg, LegAudio]]:
    form = FORMATS[name]
    leg = Leg(Conversation((), form.rate_hz), lambda: None)
    audio = LegAudio("127.0.0.1", leg, form)
    with audio.socket:
        leg.answered(10.0)
        audio.start(PEER, Agreed(form.payload_type, 101, 8000, frozenset({13})), 10.0, srtp)
        yield leg, audio


def _raw(sequence: int, kind: int = 0, payload: bytes = b"\x80" * 160) -> bytes:
    return RtpPacket(kind, sequence & 0xFFFF, sequence * 160, 3, payload).pack()


def test_sound_is_kept_by_its_timestamp_whatever_the_network_did() -> None:
    with _audio() as (leg, audio):
        for place, sequence in enumerate((0, 1, 3, 2, 2, 5)):
            audio.arrived(_raw(sequence), 10.1 + 0.02 * place, PEER)
        call = leg.recording("sip", "PCMU/8000", 8000)
    # 4 never came: its place is silent; what came twice is heard once.
    assert len(call.received.pcm) == 6 * 160
    silent = np.flatnonzero(call.received.pcm == 0)
    assert (silent[0], silent[-1], len(silent)) == (4 * 160, 5 * 160 - 1, 160)
    assert call.packets.sequence.tolist() == [0, 1, 3, 2, 2, 5]


def test_what_comes_before_the_answer_is_no_part_of_the_call() -> None:
    form = FORMATS["pcmu"]
    leg = Leg(Conversation((), form.rate_hz), lambda: None)
    audio = LegAudio("127.0.0.1", leg, form)
    with audio.socket:
        for sequence in range(4):
            audio.arrived(_raw(sequence), 9.97 + 0.02 * sequence, PEER)
        assert audio.peer is None and audio.due(10.0) == ()
        leg.answered(10.0)
        audio.start(PEER, Agreed(0, None, 8000, frozenset()), 10.0, None)
        audio.due(10.05)
        call = leg.recording("sip", "PCMU/8000", 8000)
    assert call.packets.at_s.tolist() == pytest.approx([10.01, 10.03])


def test_noise_and_keys_are_no_sound_and_strangers_are_noted() -> None:
    with _audio() as (leg, audio):
        audio.arrived(_raw(0, kind=13, payload=b"\x40"), 10.1, PEER)
        audio.arrived(_raw(1, kind=101, payload=b"\1\x0a\0\xa0"), 10.1, PEER)
        audio.arrived(_raw(2, kind=97), 10.1, PEER)
        audio.arrived(b"no rtp", 10.1, PEER)
        call = leg.recording("sip", "PCMU/8000", 8000)
    assert (len(call.packets.at_s), len(call.received.pcm)) == (3, 0)
    assert call.notes == ("packets of payload type 97, which was not negotiated",)


@pytest.mark.parametrize(("name", "step"), [("pcmu", 160), ("g722", 160), ("opus", 960)])
def test_what_leaves_counts_in_the_clock_of_its_codec(name: str, step: int) -> None:
    with _audio(name) as (leg, audio):
        packets = []
        for number in range(5):
            (raw,) = audio.due(10 + number * 0.02)
            audio.departed(10.005 + number * 0.02)
            packets.append(parse_rtp(raw))
        call = leg.recording("sip", name, 8000)
    found = [packet for packet in packets if packet is not None]
    assert [packet.marker for packet in found] == [True] + [False] * 4
    assert {
        (b.timestamp - a.timestamp) % 2**32 for a, b in zip(found, found[1:], strict=False)
    } == {step}
    assert {(b.sequence - a.sequence) % 2**16 for a, b in zip(found, found[1:], strict=False)} == {
        1
    }
    assert call.sent.at_s.tolist() == pytest.approx([10.005 + n * 0.02 for n in range(5)])


def test_encrypted_sound_is_heard_and_a_strangers_is_not() -> None:
    ours, theirs = fresh_key(), fresh_key()
    far, stranger = Srtp(theirs, ours), Srtp(fresh_key(), ours)
    with _audio(srtp=Srtp(ours, theirs)) as (leg, audio):
        (raw,) = audio.due(10.0)
        assert far.unprotect(raw) is not None and parse_rtp(raw) is not None
        audio.arrived(far.protect(_raw(0)), 10.1, PEER)
        audio.arrived(stranger.protect(_raw(1)), 10.1, PEER)
        audio.arrived(_raw(2), 10.1, PEER)
        call = leg.recording("sip", "PCMU/8000", 8000)
    assert len(call.received.pcm) == 160
    assert call.notes == ("packets that cannot be decrypted",)


def test_an_agent_is_heard_at_one_address_and_strangers_are_not() -> None:
    mapped, stranger = ("127.0.0.2", 4000), ("127.0.0.3", 4000)
    with _audio() as (leg, audio):
        # From behind a NAT: elsewhere than it said.
        audio.arrived(b"no rtp", 10.09, stranger)
        audio.arrived(_raw(0), 10.1, mapped)
        audio.arrived(_raw(500), 10.11, stranger)
        audio.arrived(_raw(1), 10.12, mapped)
        call = leg.recording("sip", "PCMU/8000", 8000)
    assert call.packets.sequence.tolist() == [0, 1] and len(call.received.pcm) == 320
    assert call.notes == (
        "the agent's packets come from 127.0.0.2:4000, which it did not name",
        "packets from an address that is not the agent's were ignored",
    )


def test_the_address_that_was_named_wins_over_one_that_came_first() -> None:
    stranger = ("127.0.0.3", 4000)
    with _audio() as (leg, audio):
        audio.arrived(_raw(900), 10.1, stranger)
        for sequence in range(3):
            audio.arrived(_raw(sequence), 10.12 + 0.02 * sequence, PEER)
            audio.arrived(_raw(901 + sequence), 10.12 + 0.02 * sequence, stranger)
        assert audio.last_packet_s == pytest.approx(10.16)
        call = leg.recording("sip", "PCMU/8000", 8000)
    assert len(call.packets.at_s) == 4


def test_an_agent_that_moves_its_sound_is_followed() -> None:
    moved, stranger = ("127.0.0.2", 4000), ("127.0.0.3", 4000)
    with _audio() as (leg, audio):
        audio.arrived(_raw(0), 10.1, PEER)
        audio.change(moved, Agreed(0, 101, 8000, frozenset()), held=False)
        assert audio.peer == moved
        audio.arrived(_raw(1), 10.12, PEER)
        audio.arrived(_raw(2), 10.14, moved)
        audio.arrived(_raw(3), 10.16, stranger)
        call = leg.recording("sip", "PCMU/8000", 8000)
    assert call.packets.sequence.tolist() == [0, 1, 2]
    assert call.notes == ("packets from an address that is not the agent's were ignored",)
