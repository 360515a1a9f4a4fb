"""A box with a GPU that nobody has measured: larger models on stated assumptions. Pure."""

from dataclasses import dataclass, replace

from latency_bench.simulation.costs import ChunkCost, Costs, StepCost, TurnCost


@dataclass(frozen=True, slots=True)
class Gpu:
    """What is assumed; by default of a 24 GB inference card (300 GB/s, 120 TFLOPS in BF16)."""

    name: str = "an imagined GPU of 24 GB"
    step_s: float = 0.022
    """A token of an 8B model in 4 bits: 4.9 GB of weights read at 75% of 300 GB/s."""
    sequence_s: float = 0.00035
    """One more answer in the step: its cache read, its share of arithmetic and sampling."""
    prompt_token_s: float = 0.0003
    """16 GFLOP at 45% of the peak."""
    stt_s: float = 0.045
    """Whisper large-v3-turbo over a window of 10 s: the encoder 15 ms, 15 tokens of 2 ms."""
    stt_batch: int = 8
    stt_extra: float = 0.3
    turn_s: float = 0.004
    tts_s: float = 0.006
    """A window of audio, launched kernel by kernel."""
    tts_audio_s: float = 0.008
    """Beside, for each second of audio."""
    cache_tokens: int = 100_000
    """13 GB of keys and values at 128 KiB a token."""
    cores: int = 16
    processes: int = 12
    """Event loops: one core each carries so many calls as this machine's."""


def imagined(recorded: Costs, gpu: Gpu | None = None) -> Costs:
    """The same callers and answers as ``recorded``, on ``gpu``."""
    gpu = gpu or Gpu()
    return replace(
        recorded,
        name=gpu.name,
        about="Whisper large-v3-turbo, an 8B model in 4 bits, Piper's audio: assumed figures, "
        "measured nowhere (`latency_bench/simulation/imagined.py` says which); questions, "
        f"answers, door and wire as recorded on {recorded.name}",
        machine={"gpu": gpu.name, "cores": gpu.cores},
        turns=tuple(_on_gpu(turn, gpu) for turn in recorded.turns),
        steps=tuple(StepCost(n, gpu.step_s + (n - 1) * gpu.sequence_s) for n in (1, 64)),
        prompt_token_s=gpu.prompt_token_s,
        stt_batch=gpu.stt_batch,
        stt_extra=gpu.stt_extra,
        cores=gpu.cores,
        beside=1.0,
        gpu=True,
        processes=gpu.processes,
        cache_tokens=gpu.cache_tokens,
    )


def _on_gpu(turn: TurnCost, gpu: Gpu) -> TurnCost:
    clauses = tuple(
        replace(
            clause,
            chunks=tuple(
                ChunkCost(gpu.tts_s + gpu.tts_audio_s * chunk.audio_s, chunk.audio_s)
                for chunk in clause.chunks
            ),
        )
        for clause in turn.clauses
    )
    return replace(turn, stt_s=gpu.stt_s, turn_s=gpu.turn_s, clauses=clauses)
