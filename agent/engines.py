"""The engines of one box: loaded once, shared by all calls."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from agent.capacity import places_of
from agent.config import Config
from agent.menu import PHRASES
from agent.text import speakable
from models.llm.base import GenerationEnd, LanguageModel, Message, Sampling
from models.loading import load_llm, load_stt, load_tts, load_turn, load_vad
from models.schedule import Batched, Schedule
from models.stt.base import SpeechRecognizer, Transcript, Utterance
from models.tts.base import AudioChunk, SpeechSynthesizer
from models.turn.base import TurnModel
from models.vad.base import VoiceDetector

log = logging.getLogger(__name__)

APOLOGY = "Sorry, I had trouble with that. Please say it again."
"""Spoken when an answer fails; made at start, since the synthesiser may be what failed."""

WARM_UP_LIMIT_S = 60.0
MOST_UTTERANCES = 4
"""Decoded in one go, at most: eight together delay the first by a quarter of a second."""

Progress = Callable[[str, float], None]
"""Gets what is being loaded, and the share of all loading that is done (0..1)."""


@dataclass(frozen=True, slots=True)
class Engines:
    """Everything that computes. ``close`` frees it."""

    stt: SpeechRecognizer
    llm: LanguageModel
    tts: SpeechSynthesizer
    vad: VoiceDetector
    turn: TurnModel
    schedule: Schedule
    models: dict[str, str]
    """Name of the model in use, by stage, as the configuration has it."""
    phrases: dict[str, tuple[AudioChunk, ...]]
    """Audio of fixed phrases, by their speakable text."""
    recognition: Batched[Utterance, Transcript] = field(init=False)
    """Recognition of (audio, rate), several callers' together where that is no later."""

    def __post_init__(self) -> None:
        batched: Batched[Utterance, Transcript] = Batched(
            lambda utterances: self.stt.transcribe_batch(utterances), MOST_UTTERANCES, "stt"
        )
        object.__setattr__(self, "recognition", batched)

    @property
    def devices(self) -> dict[str, str]:
        """``cpu``, ``cuda`` or ``remote``, by stage."""
        return {"stt": self.stt.device, "llm": self.llm.device, "tts": self.tts.device}

    def close(self) -> None:
        """Ends all work and frees the models."""
        self.schedule.close()
        self.llm.close()
        self.stt.close()
        self.tts.close()


def load_engines(
    config: Config,
    environ: Mapping[str, str] = MappingProxyType({}),
    progress: Progress = lambda what, share: None,
) -> Engines:
    """Loads and warms every engine; blocks for some seconds.

    Raises models.errors.ModelError naming the model that is missing or broken.
    """
    models = config.models

    def loading(what: str, share: float) -> None:
        progress(what, share)
        log.info("loading %s", what)

    loading(f"turn detection ({models.vad}, {models.turn})", 0.0)
    vad = load_vad(models.vad)
    turn = load_turn(models.turn)
    loading(f"speech recognition ({models.stt})", 0.1)
    stt = load_recogniser(config)
    loading(f"speech synthesis ({models.tts})", 0.35)
    tts = load_tts(models.tts, device=models.device_of("tts"), threads=models.threads.tts)
    loading(f"language model ({models.llm})", 0.6)
    llm = load_language_model(config, environ)
    loading("warming up", 0.8)
    agents = [config.agent, *map(config.agent.with_profile, config.profiles.values())]
    fixed = {speakable(agent.greeting) for agent in agents} | {APOLOGY}
    fixed |= {speakable(filler) for agent in agents for filler in agent.fillers}
    if config.calls.queue:
        fixed.add(speakable(config.calls.queue_message))
    fixed |= {speakable(budget.message) for budget in config.budgets if budget.refuses}
    if config.records.audio is not None:
        fixed.add(speakable(config.records.consent))
    if any(agent.menu for agent in agents):
        fixed |= set(PHRASES)
    phrases = {text: tuple(tts.synthesize(text)) for text in sorted(fixed) if text}
    _warm_up(llm, config)
    progress("ready", 1.0)
    names = {
        "stt": models.stt,
        "llm": (config.llm.endpoint and config.llm.model) or models.llm,
        "tts": models.tts,
    }
    names = {
        stage: name if name[:1] not in "/.~" else Path(name).name for stage, name in names.items()
    }
    return Engines(stt, llm, tts, vad, turn, Schedule(models.threads.workers), names, phrases)


def sampling_of(config: Config) -> Sampling:
    """How answers are sampled, as the settings say."""
    return Sampling(
        max_tokens=config.llm.max_tokens,
        temperature=config.llm.temperature,
        top_p=config.llm.top_p,
        repeat_penalty=config.llm.repeat_penalty,
    )


def _warm_up(llm: LanguageModel, config: Config) -> None:
    """Has the model answer once, so that no caller pays for its first time."""
    done = threading.Event()
    ends: list[GenerationEnd] = []
    conversation = llm.open()
    messages = (Message("system", config.agent.persona), Message("user", "Hello."))

    def on_end(end: GenerationEnd) -> None:
        ends.append(end)
        done.set()

    try:
        conversation.generate(messages, Sampling(max_tokens=1), lambda text: None, on_end)
        if not done.wait(WARM_UP_LIMIT_S):
            log.warning("%s: no first token within %.0f s", llm.name, WARM_UP_LIMIT_S)
        elif ends[0].error is not None:
            # An endpoint may come up later; until then each caller hears an apology.
            log.warning("%s cannot answer yet: %s", llm.name, ends[0].error)
    finally:
        conversation.close()


def load_recogniser(config: Config) -> SpeechRecognizer:
    """The recogniser as the settings say. Raises ModelError."""
    return load_stt(
        config.models.stt,
        device=config.models.device_of("stt"),
        threads=config.models.threads.stt,
        language=config.agent.language,
    )


def load_language_model(config: Config, environ: Mapping[str, str]) -> LanguageModel:
    """The local model, or the endpoint, as the settings say. Raises ModelError."""
    if config.llm.endpoint:
        from models.llm.openai_endpoint import OpenAIEndpoint

        return OpenAIEndpoint(
            config.llm.endpoint, config.llm.model or "", api_key=config.llm.api_key(environ)
        )
    return load_llm(
        config.models.llm,
        device=config.models.device_of("llm"),
        threads=config.models.threads.llm,
        context_tokens=config.llm.context_tokens,
        max_conversations=places_of(config).calls,
        requantise=config.models.llm_requantise,
    )
