"""The agent's words, recognised in the sound that came back, once the calls are over."""

from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from latency_bench.figures import CallFigures
from latency_bench.measures.measure import with_words
from latency_bench.recording import CallRecording
from models.loading import load_stt


class Listener:
    """A recogniser of the bench's own; a context manager. It is no ear of the agent's."""

    def __init__(self, name: str, device: str) -> None:
        self._engine = load_stt(name, device=device)

    def __enter__(self) -> "Listener":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._engine.close()

    def listen(self, call: CallFigures, recording: CallRecording) -> CallFigures:
        """The call with the words of each answer."""
        return with_words(call, recording, self._recognise)

    def _recognise(self, pcm: NDArray[np.int16], rate_hz: int) -> str:
        return self._engine.transcribe(pcm, rate_hz).text.strip()
