"""/v1/calls and `offhook call`, over a real server, and a telephone door that does as told."""

import asyncio
import json
import signal
import socket
import sys
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from scripted_door import QuietBox, ScriptedDoor, a_store, answered

from agent import call_command
from agent.config import Config
from agent.outbound import Outbound
from agent.web.server import WebServer
from telephony.transport import CallOutcome, Dialled, HangupCause
from telephony.trunk import Trunk, Trunks
from telephony.trunk_load import TrunkLoad

LIMIT_S = 40.0
TOKEN = "a token for this test alone"
NUMBER = "+15551234567"
BUSY = Dialled(CallOutcome.BUSY, None, 486, "Busy Here")
CONFIG = Config.model_validate(
    {
        "server": {"port": 0, "token": TOKEN},
        "calls": {"max_calls": 3},
        "profiles": {"sales": {}},
    }
)


class Served:
    """A box whose doors are open: HTTP for real, the telephone as the test says."""

    def __init__(self, folder: Path) -> None:
        self.box = QuietBox(CONFIG, a_store(folder))
        self.door = ScriptedDoor()
        trunk = Trunk("carrier", "h", destinations=("+1",), max_calls=2, calls_per_minute=600)
        self.box.outbound = Outbound(self.box, self.door, Trunks([trunk]), TrunkLoad())
        self.http = httpx2.AsyncClient()
        self.port = 0

    async def ask(
        self, method: str, path: str, fields: object = None, token: str = TOKEN
    ) -> tuple[int, dict[str, object]]:
        response = await self.http.request(
            method,
            path,
            content=fields if isinstance(fields, (bytes, str)) else json.dumps(fields),
            headers={"Authorization": f"Bearer {token}"},
        )
        return response.status_code, response.json()

    async def until(self, call_id: object, key: str, value: object) -> dict[str, object]:
        """The call, once its ``key`` is ``value``."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                _, call = await self.ask("GET", f"/v1/calls/{call_id}")
                if call[key] == value:
                    return call
                await asyncio.sleep(0.02)

    async def run(self, *arguments: str) -> int:
        """`offhook call` in this process; its exit status."""
        parser = ArgumentParser()
        call_command.add_parser(parser.add_subparsers())
        args = parser.parse_args(["call", *arguments])
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment().items():
                patch.setenv(name, value)
            async with asyncio.timeout(LIMIT_S):
                return await asyncio.to_thread(call_command.run, args)

    def environment(self) -> dict[str, str]:
        return {
            "OFFHOOK_TOKEN": TOKEN,
            "OFFHOOK_SERVER__PORT": str(self.port),
            # Not asked: a proxy has no part in it.
            "HTTP_PROXY": "http://127.0.0.1:9",
        }

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """`offhook call` in a process of its own."""
        async with self.running(*arguments) as process:
            output, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode(), errors.decode()

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """The command, within a time limit; gone at the end."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent.cli", "call", *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **self.environment()},
        )  # fmt: skip
        try:
            async with asyncio.timeout(LIMIT_S):
                yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    served = Served(tmp_path)
    async with WebServer(CONFIG.server) as server:
        await server.start(served.box)
        served.port = server.port
        served.http = httpx2.AsyncClient(base_url=server.url, timeout=LIMIT_S, trust_env=False)
        async with served.http:
            yield served
            assert served.box.outbound is not None
            await served.box.outbound.close()
            for run in served.box.runs.values():
                if not run.over.is_set():
                    run.hang_up(HangupCause.BOX_STOPPED)
    await asyncio.to_thread(served.box.store.close, LIMIT_S)


async def test_a_call_is_placed_followed_and_ended(served: Served) -> None:
    status, call = await served.ask("POST", "/v1/calls", {"to": NUMBER, "profile": "sales"})
    assert status == 201
    assert (call["state"], call["outcome"], call["trunk"]) == ("dialling", None, "carrier")
    path = f"/v1/calls/{call['call_id']}"
    assert await served.ask("GET", path) == (200, call)
    served.door.results.put_nowait(answered())
    call = await served.until(call["call_id"], "state", "answered")
    assert (call["outcome"], call["status"], call["profile"]) == ("answered", 200, "sales")
    assert (await served.ask("DELETE", path))[0] == 202
    call = await served.until(call["call_id"], "state", "ended")
    assert call["cause"] == "agent hung up" and call["ended_at"] is not None
    status, error = await served.ask("DELETE", path)
    assert status == 409 and "is over" in str(error["error"])
    assert (await served.ask("GET", "/v1/calls"))[1] == {"calls": [call]}


async def test_waiting_tells_the_outcome_at_once(served: Served) -> None:
    served.door.results.put_nowait(BUSY)
    status, call = await served.ask("POST", "/v1/calls?wait=true", {"to": NUMBER})
    assert (status, call["state"], call["outcome"]) == (201, "ended", "busy")
    assert (call["status"], call["reason"]) == (486, "busy (486 Busy Here)")


async def test_a_call_that_rings_is_given_up(served: Served) -> None:
    _, call = await served.ask("POST", "/v1/calls", {"to": NUMBER})
    assert (await served.ask("DELETE", f"/v1/calls/{call['call_id']}"))[0] == 202
    call = await served.until(call["call_id"], "state", "ended")
    assert call["outcome"] == "no answer"


async def test_a_call_of_an_earlier_process_is_told_from_its_record(
    served: Served, tmp_path: Path
) -> None:
    served.door.results.put_nowait(BUSY)
    _, call = await served.ask("POST", "/v1/calls?wait=true", {"to": NUMBER})
    assert served.box.store.flush(LIMIT_S)
    later = Served(tmp_path)
    served.box.outbound = later.box.outbound
    status, told = await served.ask("GET", f"/v1/calls/{call['call_id']}")
    assert (status, told["to"], told["outcome"], told["state"]) == (200, NUMBER, "busy", "ended")
    assert (await served.ask("GET", f"/v1/calls/{str(call['call_id'])[:4]}"))[0] == 404
    await asyncio.to_thread(later.box.store.close, LIMIT_S)


REFUSED: list[tuple[object, int, str]] = [
    (b"", 400, "JSON object"),
    (b"[]", 400, "JSON object"),
    (b'{"to": "\xff"}', 400, "JSON object"),
    (b"[" * 3000, 400, "JSON object"),
    ({}, 400, "`to` is missing"),
    ({"to": ""}, 400, "`to`"),
    ({"to": 5551234567}, 400, "`to`: Input should be a valid string"),
    ({"to": NUMBER, "answer_limit_s": 1e9}, 400, "`answer_limit_s`"),
    ({"to": NUMBER, "tunk": "x"}, 400, "unknown field `tunk`"),
    ({"to": "joe"}, 400, "no number"),
    ({"to": NUMBER, "trunk": "x"}, 400, "no trunk `x`"),
    ({"to": NUMBER, "profile": "x"}, 400, "no profile `x`"),
    ({"to": "+4930123456"}, 403, "`destinations` in [trunks.carrier]"),
    ({"to": "sip:a@192.0.2.1"}, 403, "`destinations` in [sip]"),
    ({"to": "x" * 5000}, 413, "4 KiB"),
]


async def test_what_is_not_placed(served: Served) -> None:
    for fields, status, words in REFUSED:
        found, error = await served.ask("POST", "/v1/calls", fields)
        assert (found, list(error)) == (status, ["error"]), fields
        assert words in str(error["error"])
    assert not served.door.dials and served.box.active_calls == 0


async def test_limits_are_told_apart(served: Served) -> None:
    for _ in range(2):
        assert (await served.ask("POST", "/v1/calls", {"to": NUMBER}))[0] == 201
    status, error = await served.ask("POST", "/v1/calls", {"to": NUMBER})
    assert status == 429 and "`max_calls` in [trunks.carrier]" in str(error["error"])
    assert (await served.ask("POST", "/v1/calls", {"to": "sip:a@127.0.0.1"}))[0] == 201
    status, error = await served.ask("POST", "/v1/calls", {"to": "sip:a@127.0.0.1"})
    assert status == 503 and "`max_calls` in [calls]" in str(error["error"])


async def test_without_a_telephone_door(served: Served) -> None:
    out, served.box.outbound = served.box.outbound, None
    status, error = await served.ask("POST", "/v1/calls", {"to": NUMBER})
    assert status == 503 and "[sip]" in str(error["error"])
    assert await served.ask("GET", "/v1/calls") == (200, {"calls": []})
    assert (await served.ask("GET", "/v1/calls/none"))[0] == 404
    assert (await served.ask("DELETE", "/v1/calls/none"))[0] == 404
    served.box.outbound = out


async def test_the_token_is_asked_for(served: Served) -> None:
    for path in ("/v1/calls", "/v1/calls/x"):
        for method in ("GET", "POST", "DELETE"):
            status, error = await served.ask(method, path, {"to": NUMBER}, token="wrong")
            assert status == 401 and "token" in str(error["error"])
    assert not served.door.dials


async def test_a_foreign_page_places_no_call(served: Served) -> None:
    response = await served.http.post(
        "/v1/calls",
        json={"to": NUMBER},
        headers={"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"},
    )
    assert response.status_code == 403 and not served.door.dials


# -- the command


async def test_the_command_tells_of_an_answered_call(served: Served, tmp_path: Path) -> None:
    served.door.results.put_nowait(answered())
    file = tmp_path / "call.json"
    status, output, errors = await served.command(
        "+1 555 123-4567", "--profile", "sales", "--json", str(file)
    )
    assert (status, output) == (0, "answered\n")
    assert f"dialling {NUMBER} over carrier" in errors and "HTTP" not in errors
    written = json.loads(file.read_text())
    assert (written["outcome"], written["profile"]) == ("answered", "sales")


async def test_the_command_tells_why_a_call_was_not_answered(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    served.door.results.put_nowait(BUSY)
    assert await served.run(NUMBER) == 1
    assert capsys.readouterr().out == "busy: busy (486 Busy Here)\n"
    served.door.results.put_nowait(BUSY)
    assert await served.run("sip:joe@127.0.0.1", "--json", "-") == 1
    assert json.loads(capsys.readouterr().out)["outcome"] == "busy"


async def test_the_command_gives_up_a_call_when_interrupted(served: Served) -> None:
    async with served.running(NUMBER) as process:
        assert process.stderr is not None
        said = await process.stderr.readuntil(b"over carrier")
        assert b"dialling" in said
        process.send_signal(signal.SIGINT)
        await process.wait()
    assert process.returncode == 130
    assert served.door.cancelled == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("joe",), "no number"),
        ((NUMBER, "--trunk", "x"), "no trunk `x`"),
        (("+4930123456",), "`destinations` in [trunks.carrier]"),
        ((NUMBER, "--json", "/"), "cannot be written"),
    ],
)
async def test_the_command_says_why_nothing_was_placed(
    served: Served, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert await served.run(*arguments) == 2
    output, errors = capsys.readouterr()
    assert output == "" and words in errors
    assert not served.door.dials


async def test_the_command_without_a_box(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        # Bound, so that nobody else gets it; not listening, so that nobody answers.
        taken.bind(("127.0.0.1", 0))
        served.port = taken.getsockname()[1]
        assert await served.run(NUMBER) == 2
    errors = capsys.readouterr().err
    assert "offhook serve" in errors and str(served.port) in errors
