"""The whole: `offhook serve --workers`, its models and SIP stack, behind a real edge."""

import asyncio
import json
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_peer import SipPeer
from edge_processes import Edge, needs_edge, process, running_edge, until

from agent.records.history import recent_calls
from agent.records.record import BOX_STOPPED

pytestmark = [needs_edge, pytest.mark.timeout(240)]

TRUNK = "127.0.0.24"
LOAD_LIMIT_S = 100.0


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with running_edge(tmp_path / "edge", trunks=(TRUNK,)) as running:
        yield running


async def test_a_killed_workers_call_ends_with_a_cause_and_a_new_one_is_answered(
    edge: Edge, tmp_path: Path
) -> None:
    records, status = tmp_path / "calls.sqlite3", tmp_path / "workers.json"
    environ = {
        "OFFHOOK_RECORDS__PATH": str(records),
        "OFFHOOK_WORKERS__SIP_PORT": str(edge.worker_ports[0]),
        "OFFHOOK_WORKERS__HTTP_PORT": str(edge.http_ports[0]),
        "OFFHOOK_WORKERS__EDGE": str(edge.folder),
        "OFFHOOK_WORKERS__RESERVE": "yes",
    }
    log = tmp_path / "supervisor.log"
    settings = tmp_path / "settings.toml"
    settings.write_text(
        f'[trunks.edge]\nhost = "127.0.0.1:{edge.internal_port}"\nallow = ["127.0.0.1"]\n'
        'profile = "agent"\ndestinations = ["+1"]\nmax_calls = 100\n'
    )
    command = [sys.executable, "-m", "agent.cli", "--config", str(settings)]
    command += ["serve", "--workers", "1"]
    with process(command, environ, tmp_path, log) as supervisor:

        def workers(state: str) -> list[dict[str, Any]]:
            assert supervisor.poll() is None, log.read_text()[-4000:]
            found = json.loads(status.read_text())["workers"] if status.exists() else []
            return [worker for worker in found if worker["state"] == state]

        def up() -> bool:
            return bool(workers("serving") and workers("reserve"))

        await asyncio.to_thread(until, up, "one serves and one waits", LOAD_LIMIT_S)
        await asyncio.to_thread(until, edge.active, f"the edge knows: {log.read_text()}")
        trunk = await SipPeer.open(TRUNK, edge.address, "trunk")
        try:
            call = await trunk.call("sip:+15550100@offhook")
            greeting = asyncio.create_task(call.media.send(100))
            async with asyncio.timeout(20):
                while call.media.received < 25:
                    await asyncio.sleep(0.02)
            assert all(edge.rtp_from <= port <= edge.rtp_to for _, port in call.media.sources)
            greeting.cancel()
            (serving,) = workers("serving")
            os.kill(serving["pid"], signal.SIGKILL)
            later = await trunk.call("sip:+15550100@offhook")
            async with asyncio.timeout(20):
                await call.ended.wait()
            await asyncio.to_thread(
                until, lambda: BOX_STOPPED in causes(records), "the lost call has its cause"
            )
            await later.hang_up()
            await dials_out(edge, trunk, workers("serving")[0]["http"])
            await asyncio.to_thread(
                until, lambda: "caller hung up" in causes(records), "so has the other"
            )
        finally:
            trunk.close()
        supervisor.terminate()
        assert await asyncio.to_thread(supervisor.wait, 60) == 0, log.read_text()[-4000:]


async def dials_out(edge: Edge, trunk: SipPeer, http: str) -> None:
    """A call that a worker places goes by the edge to the trunk, and is heard there."""
    await asyncio.to_thread(edge.set_trunks, f"{TRUNK}:{trunk.port}")
    trunk.echo = False
    result = await asyncio.to_thread(place_call, http, "+15550123")
    assert result["outcome"] == "answered", result
    (call,) = trunk.calls.values()
    assert call.invite is not None
    assert call.invite.start == f"INVITE sip:+15550123@{TRUNK}:{trunk.port} SIP/2.0"
    call.media.send_frame()
    async with asyncio.timeout(20):
        while call.media.received < 25:
            await asyncio.sleep(0.02)
    assert all(edge.rtp_from <= port <= edge.rtp_to for _, port in call.media.sources)
    await call.hang_up()


def place_call(http: str, number: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{http}v1/calls?wait=true",
        json.dumps({"to": number}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=40) as answer:
        found = json.load(answer)
    assert isinstance(found, dict)
    return found


def causes(records: Path) -> list[str | None]:
    return [call.cause for call in recent_calls(records, 10)]
