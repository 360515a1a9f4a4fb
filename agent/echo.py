"""Is what comes from the caller the agent's own voice, come back? Pure; time is an argument.

A detector, not a canceller: it tells of each window whether what was played explains it. In ten
bands it learns how late and how strongly the agent's voice comes back (the lag at which the bands'
levels move together, and the median ratio there), predicts the echo, and calls a window echo
where little of its power is above that. A caller who speaks over an echo is louder than it in
some bands, and passes. It needs only levels, so it holds for codecs and rooms that leave no
waveform to subtract.
"""

import numpy as np
from numpy.typing import NDArray

FRAME_S = 0.032
HOP_S = 0.016
LONGEST_LAG_S = 0.7
AHEAD_S = 0.5
"""Audio may be told of so long before it goes out."""
EDGES_HZ = np.array([200, 350, 500, 700, 900, 1150, 1450, 1800, 2250, 2800, 3500.0])
HEARD_POWER = 1e-5
"""-50 dBFS: where nothing louder was played there is no echo worth telling."""
FAINT_POWER = 1e-6
"""-60 dBFS: too little in a band to learn from."""
LEVEL_FLOOR = 1e-7
ROOM_DECAY = 0.5
"""What is left of a sound in the room after one hop, in power: 0.3 s to -60 dB."""
MEMORY = 90
"""Windows to learn from: three seconds of the agent's speech."""
FEW = 10
"""From so many windows a lag can be told, where the likeness is good."""
MANY = 30
"""Until so many (a second of speech) all counts as echo that could be one, where no lag is known;
from so many on a loud voice is told from a strong echo."""
FIRST_GUESS = 0.5
"""What could be one: up to 3 dB under what was played."""
LEARN_EVERY = 16
MARGIN = 10**0.5
"""An echo may be 5 dB stronger than predicted."""
UNEXPLAINED = 0.3
"""Share of a window's power above the prediction from which it is no echo."""
LOUD = 10.0
"""So many times the predicted power is somebody's voice: nothing to learn an echo from..."""
STUBBORN = 60
"""...unless it goes on for so many windows: then the echo has changed."""


class EchoDetector:
    """Follows one call; feed it what goes out and what comes in, in windows of ``FRAME_S``."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        size = round(FRAME_S * rate_hz)
        self._hop = size // 2
        self._taper = np.hanning(size + 2)[1:-1] / 32768
        hz = np.fft.rfftfreq(size, 1 / rate_hz)
        bands = (hz >= EDGES_HZ[:-1, None]) & (hz < EDGES_HZ[1:, None])
        self._to_bands = bands.T * (2 / (size * np.sum((self._taper * 32768) ** 2)))
        self._lags = np.arange(round(LONGEST_LAG_S / HOP_S))
        count, lags = bands.shape[0], len(self._lags)
        # Played: the last samples, and the bands of the last hops, newest last.
        self._samples = np.zeros(size)
        self._rest = np.zeros(0)
        self._band_power = np.zeros(count)
        self._hops = np.zeros((lags + round(AHEAD_S / HOP_S), count))
        self._played_until_s: float | None = None
        # Heard: when the first window began, and the power that is always there.
        self._windows = 0
        self._began_s: float | None = None
        self._floor = np.full(count, np.inf)
        # Learned from: levels in nepers, in no order.
        self._levels = np.zeros((MEMORY, count), np.float32)
        self._references = np.zeros((MEMORY, lags, count), np.float32)
        self._learned = 0
        self._loud_run = 0
        self._lag: int | None = None
        self._gain = np.zeros(count)

    @property
    def lag_s(self) -> float | None:
        """How late the echo comes; None where none was found."""
        return None if self._lag is None else self._lag * HOP_S

    def played(self, pcm: NDArray[np.int16], at_s: float) -> None:
        """Takes what goes out, shape (samples,), its beginning at ``at_s``."""
        if self._played_until_s is None or at_s - self._played_until_s > LONGEST_LAG_S + AHEAD_S:
            self._hops[:] = 0
            self._samples[:] = 0
            self._band_power[:] = 0
            self._rest = np.zeros(0)
            self._played_until_s = at_s
        elif at_s - self._played_until_s > 2 * HOP_S:
            gap = np.zeros(round((at_s - self._played_until_s) * self.rate_hz))
            self._take(gap)
            self._played_until_s += len(gap) / self.rate_hz
        self._take(pcm)
        self._played_until_s += len(pcm) / self.rate_hz

    def heard(self, window: NDArray[np.int16], at_s: float) -> bool:
        """Takes what came in, shape (``FRAME_S`` x ``rate_hz``,), its end at ``at_s``.

        True where it is nothing but echo.
        """
        until_s = self._heard_until(at_s)
        if self._played_until_s is None:
            return False
        newest_s = self._played_until_s - len(self._rest) / self.rate_hz
        ahead = round((newest_s - until_s) / HOP_S)
        reference = self._reference(ahead)
        if reference.max() < HEARD_POWER / len(self._gain):
            return False
        power = self._bands(window)
        self._floor = np.minimum(self._floor * 1.03, np.maximum(power, LEVEL_FLOOR / 100))
        predicted = self._predict(reference)
        self._remember(power, reference, predicted)
        above = np.maximum(0.0, power - MARGIN * predicted - 2 * self._floor).sum()
        return bool(above < UNEXPLAINED * power.sum())

    def _reference(self, ahead: int) -> NDArray[np.float64]:
        """What was played at each lag, shape (lags, bands). ``ahead``: hops told of too early."""
        end = len(self._hops) - ahead
        first = end - len(self._lags)
        if first >= 0 and end <= len(self._hops):
            return self._hops[first:end][::-1]
        reference = np.zeros((len(self._lags), len(self._gain)))
        kept = self._hops[max(0, first) : max(0, end)][::-1]
        at = max(0, end - len(self._hops))
        reference[at : at + len(kept)] = kept
        return reference

    def _heard_until(self, at_s: float) -> float:
        """When this window was over at the latest, by the earliest that ever came: frames come in
        fits, and their audio does not."""
        self._windows += 1
        began_s = at_s - self._windows * FRAME_S
        if self._began_s is None or abs(began_s - self._began_s) > 0.1:
            self._began_s = began_s
        # Its clock may be slower than ours: 0.6% are caught up with.
        self._began_s = min(self._began_s + 0.0002, began_s)
        return self._began_s + self._windows * FRAME_S

    def _take(self, pcm: NDArray[np.int16] | NDArray[np.float64]) -> None:
        samples, hop = np.concatenate([self._rest, pcm]), self._hop
        count = len(samples) // hop
        for first in range(0, count * hop, hop):
            self._samples[:-hop] = self._samples[hop:]
            self._samples[-hop:] = samples[first : first + hop]
            self._band_power = np.maximum(self._bands(self._samples), ROOM_DECAY * self._band_power)
            self._hops[:-1] = self._hops[1:]
            self._hops[-1] = self._band_power
        self._rest = samples[count * hop :]

    def _bands(self, samples: NDArray[np.int16] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Power in each band, 1 at full scale, shape (bands,)."""
        spectrum = np.fft.rfft(samples * self._taper)
        bands: NDArray[np.float64] = (spectrum.real**2 + spectrum.imag**2) @ self._to_bands
        return bands

    def _predict(self, reference: NDArray[np.float64]) -> NDArray[np.float64]:
        """The echo's power, shape (bands,). ``reference``: what was played, (lags, bands)."""
        if self._lag is not None:
            near = reference[max(0, self._lag - 1) : self._lag + 2]
            predicted: NDArray[np.float64] = self._gain * near.max(0)
        elif self._learned < MANY:
            predicted = FIRST_GUESS / MARGIN * reference.max(0)
        else:
            predicted = np.zeros(len(self._gain))
        return predicted

    def _remember(
        self,
        power: NDArray[np.float64],
        reference: NDArray[np.float64],
        predicted: NDArray[np.float64],
    ) -> None:
        loud = power.sum() > LOUD * predicted.sum() + 2 * self._floor.sum()
        sure = self._lag is not None and self._learned >= MANY
        self._loud_run = self._loud_run + 1 if sure and loud else 0
        if 0 < self._loud_run < STUBBORN:
            return
        place = self._learned % MEMORY
        self._levels[place] = np.log(power + LEVEL_FLOOR)
        self._references[place] = np.log(reference + LEVEL_FLOOR)
        self._learned += 1
        if self._learned >= FEW and (self._learned < MANY or not self._learned % LEARN_EVERY):
            self._learn(min(self._learned, MEMORY))

    def _learn(self, count: int) -> None:
        levels, references = self._levels[:count], self._references[:count]
        moved, played = levels - levels.mean(0), references - references.mean(0)
        both = np.einsum("wb,wlb->l", moved, played)
        each = (moved**2).sum() * np.einsum("wlb,wlb->l", played, played)
        likeness = both / np.sqrt(each + 1e-9)
        lag = int(likeness.argmax())
        # Few windows are alike by chance.
        if likeness[lag] < 0.35 + 0.6 / np.sqrt(count):
            if self._loud_run:
                self._lag = None
            return
        ratio = np.where(
            references[:, lag] > np.log(FAINT_POWER), levels - references[:, lag], np.inf
        )
        ratio.sort(axis=0)
        known = np.isfinite(ratio).sum(0)
        if known.sum() < FEW * len(known) / 2:
            return
        median = ratio[known // 2 % count, np.arange(len(known))]
        self._lag = lag
        self._gain = np.where(known > 0, np.exp(np.where(known > 0, median, 0.0)), 0.0)
