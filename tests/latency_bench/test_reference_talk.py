"""What a reference agent says, and when, on a clock of the test's own."""

import socket
import time
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from latency_bench import kernel_clock
from latency_bench.reference.behaviour import BEHAVIOURS, Behaviour, behaviour_of
from latency_bench.reference.burst import sweep
from latency_bench.reference.talk import FRAME_S, ReferenceTalk, Truth

RATE_HZ = 8000
FRAME = 160
PHASE_S = 0.0073
"""Between a packet of the caller's and the agent's next one."""


def held(
    behaviour: Behaviour, caller: NDArray[np.int16], duration_s: float, late_s: float = 0.0
) -> tuple[Truth, NDArray[np.int16]]:
    """A call in which ``caller`` begins to arrive at 0, and all that the agent sent."""
    talk = ReferenceTalk(behaviour, RATE_HZ)
    talk.answered(0.0)
    sent = []
    for index in range(round(duration_s / FRAME_S)):
        at_s = index * FRAME_S
        piece = np.zeros(FRAME, np.int16)
        here = caller[index * FRAME : (index + 1) * FRAME]
        piece[: len(here)] = here
        talk.hear(piece, at_s)
        sent.append(talk.next_frame(at_s + PHASE_S))
        talk.left(index, at_s + PHASE_S + late_s)
    return talk.truth("call", "sip"), np.concatenate(sent)


def caller(*spells_s: tuple[float, float]) -> NDArray[np.int16]:
    """Sweeps from, to."""
    pcm = np.zeros(round((spells_s[-1][1] + 0.1) * RATE_HZ), np.int16)
    for from_s, to_s in spells_s:
        sound = sweep(to_s - from_s, RATE_HZ)
        first = round(from_s * RATE_HZ)
        pcm[first : first + len(sound)] = sound
    return pcm


@pytest.mark.parametrize("name", ["delay-0", "delay-50", "delay-200", "delay-800"])
def test_it_answers_after_exactly_its_delay(name: str) -> None:
    truth, sent = held(BEHAVIOURS[name], caller((1.003, 1.403)), 3.5)
    (heard,) = truth.heard
    assert heard.first_s == pytest.approx(1.003, abs=2 / RATE_HZ)
    assert heard.last_s == pytest.approx(1.403, abs=2 / RATE_HZ)
    greeting, answer = truth.said
    assert (greeting.kind, answer.kind) == ("greeting", "answer")
    assert greeting.first_s == pytest.approx(0.2, abs=2 / RATE_HZ)
    delay_s = int(name.removeprefix("delay-")) / 1000
    assert answer.first_s - heard.last_s == pytest.approx(delay_s, abs=2 / RATE_HZ)
    # What is told is what was sent.
    first = round((answer.first_s - PHASE_S) * RATE_HZ)
    assert np.abs(sent[first]) > 9000 and not sent[first - 400 : first].any()


def test_the_truth_is_when_packets_left_not_when_they_should_have() -> None:
    on_time, _ = held(BEHAVIOURS["delay-200"], caller((1.0, 1.4)), 2.5)
    late, _ = held(BEHAVIOURS["delay-200"], caller((1.0, 1.4)), 2.5, late_s=0.031)
    assert late.said[1].first_s - on_time.said[1].first_s == pytest.approx(0.031)


def test_an_encoder_delays_what_is_heard_and_the_frame_counts_for_what_arrived() -> None:
    lookahead = 52
    talk = ReferenceTalk(BEHAVIOURS["delay-200"], RATE_HZ, lookahead)
    talk.answered(0.0)
    pcm = np.concatenate((np.zeros(lookahead, np.int16), caller((1.0, 1.4))))
    for index in range(125):
        piece = np.zeros(FRAME, np.int16)
        here = pcm[index * FRAME : (index + 1) * FRAME]
        piece[: len(here)] = here
        talk.hear(piece, index * FRAME_S)
        talk.next_frame(index * FRAME_S)
        talk.left(index, index * FRAME_S)
    truth = talk.truth("call", "webrtc")
    assert truth.heard[0].first_s == pytest.approx(1.0, abs=2 / RATE_HZ)
    assert truth.said[1].first_s - truth.heard[0].last_s == pytest.approx(0.2, abs=2 / RATE_HZ)


@pytest.mark.parametrize(("name", "after_s"), [("stop-200", 0.2), ("stop-500", 0.5)])
def test_it_stops_exactly_so_long_after_it_is_spoken_over(name: str, after_s: float) -> None:
    truth, sent = held(BEHAVIOURS[name], caller((0.5, 0.9), (2.011, 2.411)), 5.0)
    first, second = truth.said
    assert first.last_s - truth.heard[1].first_s == pytest.approx(after_s, abs=2 / RATE_HZ)
    assert second.first_s - truth.heard[1].last_s == pytest.approx(0.6, abs=2 / RATE_HZ)
    stopped = round((first.last_s - PHASE_S) * RATE_HZ)
    assert not sent[stopped + 2 : stopped + 800].any()


def test_a_backchannel_stops_only_the_skittish() -> None:
    said = caller((0.5, 0.9), (2.0, 2.15))
    calm, _ = held(BEHAVIOURS["talkative"], said, 5.0)
    skittish, _ = held(BEHAVIOURS["skittish"], said, 5.0)
    assert calm.said[1].last_s - calm.said[1].first_s == pytest.approx(2.5, abs=0.001)
    assert skittish.said[1].last_s - 2.0 == pytest.approx(0.1, abs=0.001)
    # It is owed no answer.
    assert len(calm.said) == len(skittish.said) == 2


def test_a_packet_that_is_late_does_not_end_what_the_caller_says() -> None:
    talk = ReferenceTalk(BEHAVIOURS["good"], RATE_HZ)
    talk.answered(0.0)
    pcm = caller((0.0, 0.4))
    for index in range(60):
        piece = np.zeros(FRAME, np.int16)
        here = pcm[index * FRAME : (index + 1) * FRAME]
        piece[: len(here)] = here
        at_s = index * FRAME_S + (0.5 if index >= 10 else 0.0)
        talk.hear(piece, at_s)
        talk.next_frame(at_s)
        talk.left(index, at_s)
    assert len(talk.truth("call", "sip").heard) == 1


def test_an_echo_comes_back_as_loud_as_it_should() -> None:
    deaf = replace(BEHAVIOURS["echoing"], delay_s=None, greeting_s=None)
    pcm = caller((0.5, 0.9))
    _, sent = held(deaf, pcm, 2.0)
    at = round(0.7 * RATE_HZ)
    ratio = np.std(sent[at : at + 3200]) / np.std(pcm[4000:7200])
    assert 20 * np.log10(ratio) == pytest.approx(-6.0, abs=0.1)


def test_dropouts_and_clipping_are_as_asked() -> None:
    _, robotic = held(BEHAVIOURS["robotic"], caller((0.5, 0.9)), 2.5)
    answer = robotic[np.flatnonzero(robotic)[0] :]
    assert not answer[640:800].any() and np.abs(answer[:640]).max() > 9000
    _, clipped = held(BEHAVIOURS["clipping"], caller((0.5, 0.9)), 2.5)
    assert np.mean(np.abs(clipped[clipped != 0].astype(int)) >= 32767) > 0.5


def test_behaviours_are_named_by_the_address() -> None:
    assert behaviour_of("late.3") is BEHAVIOURS["late"]
    assert behaviour_of("alice") is BEHAVIOURS["good"]
    assert behaviour_of("", "deaf") is BEHAVIOURS["deaf"]


def test_the_kernel_tells_when_a_datagram_left_and_came() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        sender.setblocking(False)
        kernel_clock.stamp_departures(sender)
        kernel_clock.stamp_arrivals(receiver)
        for number in range(5):
            before_s = time.monotonic()
            left_s = kernel_clock.send(sender, b"%d" % number, receiver.getsockname())
            after_s = time.monotonic()
            # Read late, as by a process that was kept waiting.
            time.sleep(0.03)
            data, came_s = kernel_clock.receive(receiver, 100)
            assert data == b"%d" % number
            slack_s = 0.002
            assert before_s - slack_s <= left_s <= after_s + slack_s
            assert left_s - slack_s <= came_s <= after_s + slack_s
