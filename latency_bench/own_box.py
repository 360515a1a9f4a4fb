"""``self``: a box that the bench starts, with the settings that a scenario asks for."""

import asyncio
import contextlib
import secrets
import socket
import sys
import tempfile
import tomllib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from latency_bench.box_process import BoxProcess, free_port
from latency_bench.leash import leashed
from latency_bench.target import Door, Target, TargetError

READY_LIMIT_S = 120.0
PERSON_LIMIT_S = 30.0
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class OwnBox:
    """A box of the bench's own, up and ready."""

    process: BoxProcess
    sip_port: int
    token: str | None
    carrier_key: str
    """The auth token of a Twilio account that there is only here."""

    def target(self, door: Door, codec: str | None = None) -> Target:
        """The box behind one of its doors."""
        match door:
            case "webrtc":
                return Target("webrtc", f"{self.process.url}/api/offer", token=self.token)
            case "sip":
                return Target("sip", f"sip:agent@{HOST}:{self.sip_port}", codec=codec)
            case "twilio":
                webhook = f"{self.process.url}/carriers/twilio/answer"
                return Target("twilio", webhook, token=self.token, password=self.carrier_key)


@contextlib.asynccontextmanager
async def own_box(
    config: Path | None,
    settings: Mapping[str, Any],
    *,
    token: str | None,
    max_calls: int,
    needs_person: bool = False,
    log: Path | None = None,
) -> AsyncIterator[OwnBox]:
    """Starts it, waits until it answers, and ends it.

    ``config``: the user's settings file, over which ``settings`` go. Raises BoxFailed.
    """
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offhook-bench-")))
        if needs_person:
            port = await stack.enter_async_context(_person())
            settings = _filled(settings, f"sip:person@{HOST}:{port}")
        file = folder / "offhook.toml"
        file.write_text(tomlkit.dumps(_over(_tree(config), settings)), encoding="utf-8")
        http, sip = free_port(), _free_udp_port()
        carrier_key = secrets.token_hex(16)
        environ = {
            "OFFHOOK_SERVER__HOST": HOST,
            "OFFHOOK_SERVER__PORT": str(http),
            "OFFHOOK_SIP__HOST": HOST,
            "OFFHOOK_SIP__PORT": str(sip),
            "OFFHOOK_CARRIERS__PUBLIC_URL": f"http://{HOST}:{http}",
            "OFFHOOK_CARRIERS__TWILIO_AUTH_TOKEN": carrier_key,
            "OFFHOOK_CALLS__MAX_CALLS": str(max_calls),
            "OFFHOOK_RECORDS__PATH": str(folder / "calls.sqlite3"),
        }
        process = BoxProcess(
            f"http://{HOST}:{http}",
            log or folder / "box.log",
            arguments=("--config", str(file)),
            environ=environ,
        )
        await stack.enter_async_context(process)
        await process.until_ready(READY_LIMIT_S)
        yield OwnBox(process, sip, token, carrier_key)


@contextlib.asynccontextmanager
async def _person() -> AsyncIterator[int]:
    """Somebody who picks up and says back what is said; the port of their telephone."""
    child = await asyncio.create_subprocess_exec(
        *leashed((sys.executable, "-m", "latency_bench.tone_agent")),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(PERSON_LIMIT_S):
            line = (await child.stdout.readline()).decode()
        if not line.startswith("ready "):
            raise TargetError("the telephone to transfer to did not start")
        yield int(line.split()[1])
    finally:
        if child.returncode is None:
            child.terminate()
            try:
                async with asyncio.timeout(PERSON_LIMIT_S):
                    await child.wait()
            except TimeoutError:
                child.kill()
                await child.wait()


def _tree(config: Path | None) -> dict[str, Any]:
    return tomllib.loads(config.read_text(encoding="utf-8")) if config else {}


def _over(tree: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` over ``tree``, table by table."""
    merged = dict(tree)
    for key, value in settings.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = _over(below, value)
        else:
            merged[key] = value
    return merged


def _filled(value: Any, person: str) -> Any:
    if isinstance(value, str):
        return value.replace("{person}", person)
    if isinstance(value, Mapping):
        return {key: _filled(below, person) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(below, person) for below in value]
    return value


def _free_udp_port() -> int:
    """A port on which neither UDP nor TCP, nor the TCP port after it, is taken now."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket() as tcp,
        ):
            udp.bind((HOST, 0))
            port: int = udp.getsockname()[1]
            try:
                tcp.bind((HOST, port))
            except OSError:
                continue
            return port
