"""How busy an engine was of late: a decaying average of its working time. Pure."""

import math


class BusyShare:
    """The share of the last seconds that workers spent working; time is an argument."""

    def __init__(self, workers: int = 1, window_s: float = 3.0) -> None:
        self._workers = workers
        self._window_s = window_s
        self._spent_s = 0.0
        self._at_s: float | None = None

    def spent(self, busy_s: float, now_s: float) -> None:
        """Counts ``busy_s`` seconds of one worker's time that ended at ``now_s``."""
        self._decay(now_s)
        self._spent_s += busy_s

    def at(self, now_s: float) -> float:
        """0 (idle) to 1 (all workers busy all the time)."""
        self._decay(now_s)
        return min(1.0, self._spent_s / (self._window_s * self._workers))

    def _decay(self, now_s: float) -> None:
        if self._at_s is not None and now_s > self._at_s:
            self._spent_s *= math.exp((self._at_s - now_s) / self._window_s)
        self._at_s = now_s if self._at_s is None else max(self._at_s, now_s)
