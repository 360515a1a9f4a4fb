"""Engines that load nothing: a real schedule with some work behind it, and a model that counts."""

from types import SimpleNamespace
from typing import Any

from models.llm.step_figures import StepFigures
from models.schedule import Batched, Schedule

LIMIT_S = 20.0
MODELS = {"stt": "whisper-tiny.en", "llm": "smollm2-135m-instruct", "tts": "joe-medium"}


class CountingModel:
    """What the operator's page asks a language model."""

    name, device = MODELS["llm"], "cpu"

    def load(self, now_s: float) -> float:
        return 0.42

    def figures(self) -> StepFigures:
        return StepFigures(
            weights_bytes=98_000_000,
            places=4,
            open=2,
            answering=1,
            steps=100,
            shares=250,
            tokens=3_200,
            busy_s=75.0,
            cells=8192,
            cells_used=2048,
        )


def panel_engines(llm: Any = None) -> Any:
    """In the place of `agent.engines.Engines`; close its ``schedule``."""
    schedule = Schedule(workers=2, limit=256)
    batched: Batched[int, int] = Batched(lambda items: list(items), 4, "stt")
    for kind in ("tts", "tts", "turn"):
        schedule.submit(lambda: None, 0.0, kind=kind).result(LIMIT_S)
    for number in range(3):
        schedule.submit_to(batched, number, 0.0).result(LIMIT_S)
    return SimpleNamespace(
        models=MODELS,
        devices=dict.fromkeys(MODELS, "cpu"),
        schedule=schedule,
        llm=llm or CountingModel(),
    )
