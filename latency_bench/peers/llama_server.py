"""llama-cpp-python's own OpenAI-compatible server, as a child of the peer that asks it."""

import asyncio
import json
import re
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from agent.config import Config
from latency_bench.leash import leashed
from models.device import choose_device
from models.llm.requantise import NEAREST, WORTHWHILE, requantised
from models.loading import locate

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 5.0
WARM_UP_LIMIT_S = 30.0
_LISTENING = re.compile(rb"running on http://[\d.]+:(\d+)")


class ServerFailed(Exception):
    """The server did not come up; the message says what it said last."""


def weights_of(config: Config) -> Path:
    """The file that the box itself runs, a requantised copy where it makes one."""
    models = config.models
    path = locate(models.llm, "llm")
    wanted = models.llm_requantise
    if wanted == "no" or choose_device("llm", models.device_of("llm")).device != "cpu":
        return path
    return requantised(path, formats=WORTHWHILE if wanted == "yes" else NEAREST)


def command_of(weights: Path, alias: str, threads: int, context_tokens: int) -> Sequence[str]:
    """The server's command line. What differs from its defaults, and why:

    - ``cache``: prompts evaluated once are kept (off by default); its documentation advises it
      for chats.
    - ``logits_all false``: with the default of true it works out, for every token of a prompt,
      a distribution that nobody asked for.
    - ``interrupt_requests false``: with the default of true a second caller's question cuts
      off the first one's answer. A client that goes away still ends its own.
    """
    options = {
        "model": str(weights),
        "model_alias": alias,
        "host": "127.0.0.1",
        "port": "0",
        "n_ctx": str(context_tokens),
        "n_threads": str(threads),
        "n_threads_batch": str(threads),
        "cache": "true",
        "logits_all": "false",
        "interrupt_requests": "false",
        "verbose": "false",
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    return (sys.executable, "-m", "llama_cpp.server", *arguments)


@asynccontextmanager
async def llama_server(command: Sequence[str]) -> AsyncIterator[str]:
    """Runs it and yields its base URL, such as ``http://127.0.0.1:9999/v1``.

    Raises ServerFailed.
    """
    child = await asyncio.create_subprocess_exec(
        *leashed(command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stderr is not None
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(_read(child.stderr, port), name="llama-server-output")
    try:
        try:
            async with asyncio.timeout(READY_LIMIT_S):
                listening = await port
        except TimeoutError as error:
            raise ServerFailed(
                f"llama-cpp-python's server was not ready after {READY_LIMIT_S:.0f} s"
            ) from error
        yield f"http://127.0.0.1:{listening}/v1"
    finally:
        await asyncio.shield(_stop(child, reading))


async def warm_up(base_url: str, model: str, system: str) -> None:
    """Has it answer once, so that no caller pays for its first time and the system prompt."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "Hello."}]
    body = {"model": model, "messages": messages, "max_tokens": 1, "temperature": 0.0}
    await asyncio.to_thread(_post, f"{base_url}/chat/completions", body)


def _post(url: str, body: object) -> None:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=WARM_UP_LIMIT_S) as response:
        response.read()


async def _read(output: asyncio.StreamReader, port: "asyncio.Future[int]") -> None:
    last = b""
    async for line in output:
        last = line.strip() or last
        found = _LISTENING.search(line)
        if found and not port.done():
            port.set_result(int(found[1]))
        elif b"ERROR" in line or b"Traceback" in line:
            print(line.decode(errors="replace"), end="", file=sys.stderr)
    if not port.done():
        said = last.decode(errors="replace")
        port.set_exception(ServerFailed(f"llama-cpp-python's server ended; it said: {said}"))


async def _stop(child: asyncio.subprocess.Process, reading: "asyncio.Task[None]") -> None:
    with suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await child.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
