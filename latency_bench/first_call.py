"""The demo: a box in this process, a caller in another, and what the two made of it."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from agent.config import Config, load_config
from agent.serve import loading_bar, open_box, print_address
from agent.stop_signal import stop_signal
from latency_bench.interrupt import unless
from latency_bench.questions import from_wav
from latency_bench.report import show_first_call
from latency_bench.self_call import failing
from latency_bench.utterance import SpeechError

SELF_CALL_LIMIT_S = 150.0
STOP_LIMIT_S = 5.0


class SelfCallFailed(Exception):
    """The caller's process gave no result; the message holds its last words."""


def run(args: argparse.Namespace) -> int:
    """Runs `offhook demo`; returns the exit status."""
    environ = dict(os.environ)
    config = load_config(args.config, environ)
    try:
        if args.wav is not None:
            # Told before the models load, not after.
            from_wav(args.wav)
        return asyncio.run(_demo(args, config, environ))
    except SpeechError as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 2


async def call_itself(
    url: str, config: Config, environ: Mapping[str, str], extra: Sequence[str] = ()
) -> dict[str, Any]:
    """Places one call to the box at ``url`` from another process; its result.

    ``extra``: further arguments of ``latency_bench.self_call``. Raises SelfCallFailed.
    """
    models = config.models
    token = config.server.token
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "latency_bench.self_call", f"{url.rstrip('/')}/api/offer"),
        *("--stt", models.stt, "--tts", models.tts, "--device", models.device, *extra),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**environ, "OFFHOOK_TOKEN": token.get_secret_value() if token else ""},
        # Ctrl-C is this process's to handle.
        start_new_session=True,
    )
    try:
        output, errors = await asyncio.wait_for(child.communicate(), SELF_CALL_LIMIT_S)
    except TimeoutError:
        raise SelfCallFailed(f"the call was not over after {SELF_CALL_LIMIT_S:.0f} s") from None
    finally:
        await _end(child)
    if child.returncode:
        raise SelfCallFailed(_tail(errors) or f"the caller ended with {child.returncode}")
    result: dict[str, Any] = json.loads(output)
    return result


async def _demo(args: argparse.Namespace, config: Config, environ: Mapping[str, str]) -> int:
    console = Console()
    status = 0
    async with AsyncExitStack() as doors:
        async with loading_bar(console) as progress:
            box = await doors.enter_async_context(open_box(config, environ, progress))
        async with stop_signal() as stopped:
            try:
                with console.status("Calling itself: asking, and listening to the answer"):
                    call = call_itself(box.url, config, environ, _extra(args))
                    result = await unless(stopped, call)
                if result is None:
                    return 130
                status = _report(console, result, args.json)
            except SelfCallFailed as failure:
                console.print(f"[red]The call failed:[/red] {escape(str(failure))}")
                status = 1
            if not args.once:
                print_address(console, box)
                await stopped.wait()
    return status


def _report(console: Console, result: dict[str, Any], path: Path | None) -> int:
    show_first_call(console, result)
    if path is not None:
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if reason := failing(result):
        console.print(f"[red]Not a success:[/red] {reason}", highlight=False)
        return 1
    return 0


def _extra(args: argparse.Namespace) -> list[str]:
    if args.wav is not None:
        return ["--wav", str(args.wav)]
    return ["--say", args.say] if args.say else []


async def _end(child: asyncio.subprocess.Process) -> None:
    """Ends the caller's process where it still runs."""
    if child.returncode is not None:
        return
    child.terminate()
    try:
        await asyncio.wait_for(child.wait(), STOP_LIMIT_S)
    except TimeoutError:
        child.kill()
        await asyncio.wait_for(child.wait(), STOP_LIMIT_S)


def _tail(errors: bytes) -> str:
    return "\n".join(errors.decode(errors="replace").strip().splitlines()[-10:])
