"""What every bench that places calls needs: whom to call, what to say, who says it."""

import argparse
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.config import Config, load_config
from latency_bench.casting import Cast
from latency_bench.conversation import Pace
from latency_bench.crew import Job
from latency_bench.options import RING_S
from latency_bench.own_box import OwnBox, own_box
from latency_bench.part import Part
from latency_bench.peers import PEERS, start
from latency_bench.scenario import Scenario, ScenarioError, load_scenario, shipped
from latency_bench.target import Door, Target, TargetError, parse_target
from models.loading import load_tts


@dataclass(frozen=True, slots=True)
class Planned:
    """One call of the plan."""

    call: int
    repeat: int
    scenario: Scenario
    file: Path
    door: Door


@dataclass(frozen=True, slots=True)
class Agent:
    """Who is called, up and ready."""

    target_of: Callable[[Door], Target]
    box: OwnBox | None
    """The bench's own; None of any other agent."""


@dataclass(slots=True)
class Session:
    """The options that benches share, and what they lead to."""

    text: str
    """TARGET as given."""
    config: Config
    config_path: Path | None
    cast: Cast
    doors: tuple[Door, ...]
    _target: Target | None
    """None: a box of the bench's own, or a peer."""
    codec: str | None = None
    answer_limit_s: float = RING_S
    _parts: dict[int, list[Part]] = field(default_factory=dict)

    def close(self) -> None:
        """Frees the voice."""
        if self.cast.voice is not None:
            self.cast.voice.close()

    def plan(
        self, scenarios: Sequence[tuple[Scenario, Path]], calls: int, repeats: int = 1
    ) -> list[Planned]:
        """``calls`` of each scenario through each door, in turn, so that noise hits all alike."""
        return [
            Planned(number, repeat, scenario, file, door)
            for number, (repeat, _, (scenario, file), door) in enumerate(
                (repeat, call, scenario, door)
                for repeat in range(repeats)
                for call in range(calls)
                for scenario in scenarios
                for door in self.doors
            )
        ]

    def prepare(self, planned: Sequence[Planned]) -> None:
        """Makes everything that will be said. Raises SpeechError and ModelError."""
        said: dict[tuple[str, Door, int], int] = {}
        for call in planned:
            # The same words through every door and in every repeat: they are to be compared.
            place = (call.scenario.name, call.door, call.repeat)
            turn = said[place] = said.get(place, -1) + 1
            self._parts[call.call] = self.cast.parts(
                call.scenario, call.file, turn, keys=call.door != "webrtc"
            )

    def job(
        self,
        call: Planned,
        agent: Agent,
        *,
        run_began_s: float,
        folder: Path | None,
    ) -> Job:
        """What a caller is told of it."""
        scenario = call.scenario
        return Job(
            call=call.call,
            repeat=call.repeat,
            scenario=scenario.name,
            target=agent.target_of(call.door),
            parts=self._parts[call.call],
            background=self.cast.background(scenario),
            pace=Pace(greeting_limit_s=scenario.greeting_limit_s, linger_s=scenario.linger_s),
            limit_s=scenario.limit_s,
            run_began_s=run_began_s,
            folder=folder,
            status_url=agent.box.process.url if agent.box else None,
            answer_limit_s=self.answer_limit_s,
        )

    @contextlib.asynccontextmanager
    async def agent(
        self,
        settings: Mapping[str, Any],
        *,
        max_calls: int,
        needs_person: bool = False,
        log: Path | None = None,
        otlp_url: str | None = None,
    ) -> AsyncIterator[Agent]:
        """Starts whom there is to start. ``settings``: of a box of the bench's own.

        ``otlp_url``: where a peer sends its spans. Raises BoxFailed and PeerFailed.
        """
        if self._target is not None:
            target = self._target
            yield Agent(lambda door: target, None)
        elif self.text in PEERS:
            async with start(self.text, otlp_url=otlp_url, config=self.config_path) as peer:
                yield Agent(lambda door: peer, None)
        else:
            token = self.config.server.token
            async with own_box(
                self.config_path,
                settings,
                token=token.get_secret_value() if token else None,
                max_calls=max_calls,
                needs_person=needs_person,
                log=log,
            ) as box:
                yield Agent(lambda door: box.target(door, self.codec), box)

    @property
    def own(self) -> bool:
        """Whether the bench starts a box of its own."""
        return self._target is None and self.text not in PEERS


def open_session(args: argparse.Namespace) -> Session:
    """Reads what `latency_bench.options` adds. Raises TargetError, ConfigError, ModelError."""
    config = load_config(args.config, dict(os.environ))
    target = None if args.target in PEERS else parse_target(args.target)
    doors: tuple[Door, ...]
    if target is not None:
        doors = (target.door,)
        if args.door and tuple(args.door) != doors:
            raise TargetError(f"{args.target} is called by {target.door}; --door is for `self`")
        target = replace(
            target,
            token=_secret(args.token_env),
            username=args.username,
            password=_secret(args.password_env),
            codec=args.codec,
            caller=args.caller,
            ca_file=args.ca_file,
        )
    else:
        doors = tuple(args.door or ("webrtc",))
        if args.target in PEERS and doors != ("webrtc",):
            raise TargetError(f"{args.target} is called by webrtc; --door is for `self`")
    voice = load_tts(args.voice or config.models.tts, device=config.models.device_of("tts"))
    return Session(
        text=args.target,
        config=config,
        config_path=args.config,
        cast=Cast(voice, args.speech, args.seed),
        doors=doors,
        _target=target,
        codec=args.codec,
        answer_limit_s=args.ring,
    )


def _secret(variable: str | None) -> str | None:
    """What the variable holds; None where none is named. Raises TargetError."""
    if variable is None:
        return None
    if (value := os.environ.get(variable)) is None:
        raise TargetError(f"the environment variable {variable} is not set")
    return value


def load_scenarios(names: Sequence[str]) -> list[tuple[Scenario, Path]]:
    """Scenarios and their files; ``all``: every shipped one. Raises ScenarioError."""
    every = [each for name in names for each in (shipped() if name == "all" else [name])]
    found = [load_scenario(name) for name in every]
    known: dict[str, Path] = {}
    for scenario, path in found:
        if known.setdefault(scenario.name, path) != path:
            raise ScenarioError(f"{known[scenario.name]} and {path} have the same name; rename one")
    return found
