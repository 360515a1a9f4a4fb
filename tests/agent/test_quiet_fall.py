"""The fall of a voice, told from its loudness."""

import numpy as np

from agent.quiet_fall import FALL_WINDOWS, MOST_WINDOWS, FellQuiet, QuietFall


def window(amplitude: int) -> np.ndarray:
    return np.full(512, amplitude, np.int16)


def hear(fall: QuietFall, amplitudes: list[int], speaking: bool = True) -> list[FellQuiet]:
    heard = [fall.hear(window(amplitude), speaking) for amplitude in amplitudes]
    return [fell for fell in heard if fell is not None]


def test_a_voice_that_falls_30_db_for_two_windows_has_fallen_once() -> None:
    fall = QuietFall()
    assert hear(fall, [8000, 8000, 200]) == []
    assert fall.under_way is None
    assert hear(fall, [200]) == [FellQuiet(1)]
    assert hear(fall, [200] * 10) == []
    assert fall.under_way == 1


def test_a_sound_ends_it_and_the_next_is_another() -> None:
    fall = QuietFall()
    hear(fall, [8000] + [0] * FALL_WINDOWS)
    hear(fall, [3000])
    assert fall.under_way is None
    # Who leaves gaps between words is given a window more.
    assert hear(fall, [0, 0]) == []
    assert hear(fall, [0]) == [FellQuiet(2)]
    for falls in (3, 4, 5):
        assert hear(fall, [8000, *[0] * (MOST_WINDOWS - 1)]) == []
        assert hear(fall, [0, 0]) == [FellQuiet(falls)]


def test_one_quiet_window_and_a_noisy_room_are_none() -> None:
    fall = QuietFall()
    assert hear(fall, [8000, 0, 8000, 0, 8000]) == []
    # 29 dB under the loudest.
    assert hear(fall, [285] * 20) == []


def test_the_loudest_is_of_this_speech_alone() -> None:
    fall = QuietFall()
    hear(fall, [20000])
    hear(fall, [0] * 5, speaking=False)
    assert fall.under_way is None
    assert hear(fall, [1000, 500, 500, 500]) == []
