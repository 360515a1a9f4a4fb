"""The caller's packets: order, loss, and what is decoded of them."""

import asyncio
import random

import numpy as np
from aiortc.rtp import RtpPacket
from av import AudioFrame
from hypothesis import given
from hypothesis import strategies as st

from agent.web.audio_track import OpusEncoder
from agent.web.packet_inlet import PATIENCE, CountingBuffer, InOrder, OpusInlet

RATE_HZ = 48000
FRAME = 960


def packet(number: int, data: bytes = b"x") -> RtpPacket:
    made = RtpPacket(payload_type=96, sequence_number=number % 2**16, timestamp=FRAME * number)
    made._data = data  # type: ignore[attr-defined]
    return made


def numbers_of(order: InOrder, numbers: list[int]) -> list[list[int]]:
    return [[out.sequence_number for out in order.take(packet(number))] for number in numbers]


def test_what_is_next_in_line_does_not_wait() -> None:
    assert numbers_of(InOrder(), [5, 6, 7]) == [[5], [6], [7]]


def test_two_that_changed_places_are_put_back() -> None:
    assert numbers_of(InOrder(), [1, 3, 2, 4]) == [[1], [], [2, 3], [4]]


def test_one_that_is_lost_holds_up_no_more_than_the_next_few() -> None:
    out = numbers_of(InOrder(), [1, 3, 4, 5, 6, 7])
    assert out == [[1], [], [], [3, 4, 5], [6], [7]]
    assert PATIENCE == 3


def test_one_that_was_given_up_or_came_twice_is_dropped() -> None:
    assert numbers_of(InOrder(), [1, 3, 4, 5, 2, 5, 6]) == [[1], [], [], [3, 4, 5], [], [], [6]]


def test_numbers_come_round() -> None:
    assert numbers_of(InOrder(), [65534, 65535, 1, 0, 2]) == [[65534], [65535], [], [0, 1], [2]]


def test_a_stream_that_begins_anew_is_followed() -> None:
    assert numbers_of(InOrder(), [60000, 60001, 20000, 20001]) == [
        [60000],
        [60001],
        [20000],
        [20001],
    ]


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**32), st.floats(0, 0.3))
def test_every_packet_comes_out_once_and_in_order(first: int, seed: int, loss: float) -> None:
    chance = random.Random(seed)
    sent = [n for n in range(200) if chance.random() >= loss]
    # Late by less than the patience: nothing that came is given up.
    arrived = sorted(sent, key=lambda n: n + chance.choice([0, 0, 0, 1.5]))
    order = InOrder()
    out = [
        (got.sequence_number - first) % 2**16
        for number in arrived
        for got in order.take(packet(first + number))
    ]
    begun = arrived[0]
    assert out == sorted(set(out))
    assert set(out) <= set(sent)
    missing = {number for number in sent if number >= begun} - set(out)
    # What still waits at the end, or was overtaken across a gap of lost ones.
    assert len(missing) <= PATIENCE + 0.3 * len(sent) * (loss > 0)
    if loss == 0:
        assert len(missing) == 0


def encoded_tone(frames: int) -> list[bytes]:
    encoder = OpusEncoder(RATE_HZ)
    at = np.arange(frames * FRAME) / RATE_HZ
    tone = (8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
    packets = []
    for start in range(0, len(tone), FRAME):
        frame = AudioFrame.from_ndarray(tone[None, start : start + FRAME], layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, start
        packets.append(bytes(encoder.encode(frame)))
    return packets


async def test_packets_are_decoded_as_they_come() -> None:
    frames: asyncio.Queue[AudioFrame | None] = asyncio.Queue()
    inlet = OpusInlet(frames)  # type: ignore[arg-type]
    for number, data in enumerate(encoded_tone(10)):
        assert inlet.add(packet(number, data)) == (False, None)
        assert frames.qsize() == number + 1
    heard = []
    while not frames.empty():
        frame = frames.get_nowait()
        assert frame is not None
        assert (frame.sample_rate, frame.layout.name, frame.samples) == (RATE_HZ, "mono", FRAME)
        heard.append(frame.to_ndarray()[0])
    steady = np.concatenate(heard)[2 * FRAME :].astype(np.float64)
    assert abs(np.sqrt(np.mean(steady**2)) - 8000 / np.sqrt(2)) < 300


async def test_a_packet_that_is_no_opus_is_dropped() -> None:
    frames: asyncio.Queue[AudioFrame | None] = asyncio.Queue()
    inlet = OpusInlet(frames)  # type: ignore[arg-type]
    good = encoded_tone(3)
    for number, data in enumerate([good[0], b"\xff" * 40, b"", good[1], good[2]]):
        inlet.add(packet(number, data))
    assert frames.qsize() == 3


def test_the_bytes_that_came_are_counted_whether_heard_or_not() -> None:
    inlet = OpusInlet(asyncio.Queue())
    for number, data in ((1, b"x" * 40), (3, b"x" * 30), (1, b"x" * 40)):
        inlet.add(packet(number, data))
    assert inlet.bytes_in == 110
    buffer = CountingBuffer()
    for number in range(5):
        buffer.add(packet(number, b"x" * 160))
    assert buffer.bytes_in == 800
