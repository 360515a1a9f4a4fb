"""`offhook bench compare`: from the command line to the report."""

import argparse
import asyncio
import contextlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from agent.capacity import model_names
from agent.config import Config, load_config
from agent.stop_signal import stop_signal
from latency_bench.casting import Cast
from latency_bench.compare_peers.comparison import Comparison, Plan
from latency_bench.compare_peers.contender import Contender, box_contender, peer_contender
from latency_bench.compare_peers.rows import LOST_LIMIT, P95_LIMIT_MS, row_of
from latency_bench.compare_peers.trial import Lasting, Trial
from latency_bench.compare_peers.view import show, trial_line
from latency_bench.figures import SCHEMA
from latency_bench.finish import STOPPED
from latency_bench.listening import Listener
from latency_bench.load.callers import Habits
from latency_bench.load.level import questions_of
from latency_bench.machine import machine_facts
from latency_bench.peers import PEERS
from latency_bench.recording import CallFailed
from latency_bench.reports.write import write_json
from latency_bench.scenario import ScenarioError
from latency_bench.session import Session
from latency_bench.target import Door, TargetError
from latency_bench.utterance import SpeechError
from models.errors import ModelError
from models.loading import load_tts

WIDTH = 110
TURNS = (3, 5)
"""Questions of a call, from and to."""


def run(args: argparse.Namespace) -> int:
    """Runs the bench; 0 where every agent answered something, 130 after Ctrl-C."""
    console = Console(stderr=True)
    try:
        unknown = [name for name in args.peers if name not in PEERS]
        if unknown:
            raise TargetError(
                f"--peers: no peer is called {unknown[0]!r}; there are: {', '.join(PEERS)}"
            )
        config = load_config(args.config, dict(os.environ))
        contenders = contenders_of(args, config)
        report = _compared(args, config, contenders, console)
    except OSError as error:
        print(f"offhook: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except (CallFailed, ModelError, ScenarioError, SpeechError, TargetError) as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 2
    return finish(report, args)


def contenders_of(args: argparse.Namespace, config: Config) -> list[Contender]:
    """The box, then its peers. Raises TargetError where none has the doors asked for."""
    doors: tuple[Door, ...] = tuple(args.door or ("webrtc", "sip"))
    token = config.server.token
    found = [
        box_contender(args.config, token.get_secret_value() if token else None, doors, args.codec)
    ]
    for name in args.peers:
        peer = peer_contender(name, args.config)
        if not set(peer.doors) & set(doors):
            raise TargetError(
                f"{name} is called by {', '.join(peer.doors)}: add --door {peer.doors[0]}"
            )
        found.append(peer)
    return found


def _compared(
    args: argparse.Namespace, config: Config, contenders: list[Contender], console: Console
) -> dict[str, Any]:
    began, began_s = datetime.now(UTC), time.monotonic()
    with contextlib.ExitStack() as stack:
        with console.status("Preparing what to say"):
            models = config.models
            voice = load_tts(args.voice or models.tts, device=models.device_of("tts"))
            cast = Cast(voice, args.speech, args.seed)
            session = Session("self", config, args.config, cast, ("webrtc",), None)
            stack.callback(session.close)
            questions = questions_of(session)
            listener = None
            if not args.no_words:
                name = args.recogniser or models.stt
                listener = stack.enter_context(Listener(name, models.device_of("stt")))
        folder = args.keep or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="offhook-compare-"))
        )
        lasting = Lasting(
            args.seconds,
            args.questions,
            Habits(think_s=args.think, wait_s=args.wait, turns=TURNS),
            args.seed,
        )
        plan = Plan(contenders, args.calls, args.rounds, lasting)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        bar = stack.enter_context(Progress(*columns, console=console, transient=True))
        task = bar.add_task("", total=1.0)
        comparison = Comparison(plan, questions, folder, listener)

        def progress(what: str, share: float, asked: int) -> None:
            name, door, calls, round_ = comparison.order[-1]
            at = f"{name} over {door}, {calls} at once, round {round_ + 1}: {what}"
            told = f"{at}, {asked} questions" if asked else at
            bar.update(task, completed=share, description=escape(told))

        def told(trial: Trial) -> None:
            line = escape(trial_line(row_of([trial]), trial.round))
            console.print(line, highlight=False, soft_wrap=True)

        comparison.progress, comparison.told = progress, told
        asyncio.run(_until_stopped(comparison))
        return {
            "schema": SCHEMA,
            "kind": "compare",
            "machine": machine_facts(model_names(config)),
            "began_utc": began.isoformat(timespec="seconds"),
            "elapsed_s": round(time.monotonic() - began_s, 1),
            "speech": cast.speech,
            "settings": _settings(args, lasting),
            **comparison.report(),
        }


async def _until_stopped(comparison: Comparison) -> None:
    # What a call's libraries say of each refused or broken call is in its row.
    logging.getLogger("aioice").setLevel(logging.ERROR)
    async with stop_signal() as stop:
        await comparison.run(stop)


def _settings(args: argparse.Namespace, lasting: Lasting) -> dict[str, Any]:
    habits = lasting.habits
    return {
        "peers": list(args.peers),
        "levels": list(args.calls),
        "rounds": args.rounds,
        "seconds": lasting.seconds,
        "questions": lasting.questions,
        "think_s": habits.think_s,
        "wait_s": habits.wait_s,
        "gap_s": habits.gap_s,
        "turns_a_call": list(habits.turns),
        "words": not args.no_words,
        "codec": args.codec,
        "seed": lasting.seed,
        "limits": {"v2v_p95_ms": P95_LIMIT_MS, "lost_share": LOST_LIMIT, "gaps": 0},
    }


def finish(report: Mapping[str, Any], args: argparse.Namespace) -> int:
    """Shows and writes it; the exit status."""
    # Into a file, rich takes 80 columns, which cut the table short.
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    if args.json is not None:
        # First what cannot be had again.
        write_json(args.json, report)
        console.print(f"[dim]wrote {escape(str(args.json))}[/dim]", highlight=False)
    show(console, report)
    if args.png is not None:
        # Imported when asked for: matplotlib takes a second to load.
        from latency_bench.compare_peers.picture import write_picture

        for path in write_picture(report, args.png):
            console.print(f"[dim]wrote {escape(str(path))}[/dim]", highlight=False)
    if report["interrupted"]:
        console.print("Stopped before the end: this is what ran.")
        return STOPPED
    names = {row["peer"] for row in report["rows"]}
    silent = names - {row["peer"] for row in report["rows"] if row["v2v_ms"]}
    return 1 if silent or not names else 0
