"""A trial's recordings, listened to once its agent has ended: words, fillers, gaps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from latency_bench.compare_peers.gaps import audible_gaps
from latency_bench.compare_peers.trial import Trial
from latency_bench.figures import CallFigures
from latency_bench.listening import Listener
from latency_bench.recording_file import load


def heard(
    trial: Trial,
    folder: Path,
    listener: Listener | None,
    progress: Callable[[float], None] = lambda share: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Trial:
    """The trial with the gaps of its answers, and with ``listener`` with their words.

    ``folder``: where its calls' sound is; calls without sound, and after ``stopped`` all that are
    left, stay as they are. Raises what `recording_file.load` does for a file that is none.
    """
    made: list[CallFigures] = []
    gaps: dict[int, int] = {}
    for place, call in enumerate(trial.made):
        sound = folder / f"{call.call:04d}.npz"
        counted = trial.window.turns([call]) if trial.window else []
        if counted and sound.exists():
            recording = load(sound)
            gaps[call.call] = audible_gaps(recording.received, counted, lost=call.wire.lost > 0)
            if listener is not None and not stopped():
                call = listener.listen(call, recording)
        made.append(call)
        progress((place + 1) / len(trial.made))
    return replace(trial, made=tuple(made), gaps=gaps)
