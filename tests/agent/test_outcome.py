"""What came of a call: who may say so, and what its end shows where nobody did."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest
from scripted_door import QuietBox, a_store

from agent.config import Config, ConfigError, load_config
from agent.menu import Menu
from agent.outcome import ABANDONED, TRANSFERRED, outcome_of
from agent.records import history
from agent.records.record import CallRecord
from agent.sections import MenuEntry
from agent.web.server import WebServer
from telephony.transport import HangupCause

LIMIT_S = 30.0
BEGAN = datetime(2026, 11, 2, 9, tzinfo=UTC)
OVER = CallRecord(
    "abc123",
    BEGAN,
    "sip",
    "+15550001",
    "Joe",
    ended_at=BEGAN + timedelta(seconds=60),
    cause="caller hung up",
)


@pytest.mark.parametrize(
    ("said", "cause", "answers", "outcome"),
    [
        ("", HangupCause.CALLER_HUNG_UP, 0, ABANDONED),
        ("", HangupCause.CALLER_VANISHED, 0, ABANDONED),
        ("", HangupCause.CALLER_HUNG_UP, 1, ""),
        ("", HangupCause.TRANSFERRED, 0, TRANSFERRED),
        ("", HangupCause.AGENT_HUNG_UP, 0, ""),
        ("", HangupCause.SILENCE, 0, ""),
        ("", HangupCause.BOX_STOPPED, 0, ""),
        ("resolved", HangupCause.CALLER_HUNG_UP, 0, "resolved"),
        ("sold", HangupCause.TRANSFERRED, 3, "sold"),
    ],
)
def test_what_the_end_shows_and_what_was_said(
    said: str, cause: HangupCause, answers: int, outcome: str
) -> None:
    assert outcome_of(said, cause, answers) == outcome


def test_an_entry_of_the_menu_carries_its_outcome() -> None:
    worth = Decimal("12.5")
    entries = [
        MenuEntry(
            key="9", say=("thanks",), hang_up=True, outcome="resolved", outcome_value_usd=worth
        ),
        MenuEntry(key="0", transfer="+1555"),
    ]
    menu = Menu(entries)
    for choice in (menu.for_key("9"), menu.for_words("No, thanks")):
        assert choice is not None and choice.hang_up
        assert (choice.outcome, choice.outcome_value_usd) == ("resolved", worth)
    other = menu.for_key("0")
    assert other is not None and other.outcome == "" and other.outcome_value_usd is None


def test_a_value_without_an_outcome_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "offhook.toml"
    file.write_text('[[agent.menu]]\nkey = "1"\nhang_up = true\noutcome_value_usd = 3\n')
    with pytest.raises(ConfigError, match=r"toml:4: `outcome_value_usd` .* goes with `outcome`"):
        load_config(file, {})
    file.write_text('[[agent.menu]]\nkey = "1"\nhang_up = true\noutcome = "sold"\n')
    assert load_config(file, {}).agent.menu[0].outcome == "sold"


class Served:
    """A box over HTTP, with one call that is over and one of another process."""

    def __init__(self, box: QuietBox, http: httpx2.AsyncClient) -> None:
        self.box, self.http = box, http

    async def say(self, call_id: str, **fields: object) -> tuple[int, dict[str, object]]:
        path = f"/v1/calls/{call_id}/outcome"
        response = await self.http.post(path, content=json.dumps(fields))
        return response.status_code, response.json()


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Served]:
    config = Config.model_validate({"server": {"port": 0}})
    box = QuietBox(config, a_store(folder))
    box.store.end_call(OVER)
    box.store.start_call(replace(OVER, call_id="def456", ended_at=None, cause=None))
    assert await asyncio.to_thread(box.store.flush, LIMIT_S)
    async with WebServer(config.server) as server:
        await server.start(box)
        async with httpx2.AsyncClient(
            base_url=server.url, timeout=LIMIT_S, trust_env=False
        ) as http:
            yield Served(box, http)
    await asyncio.to_thread(box.store.close, LIMIT_S)


async def test_the_api_says_it_after_the_call(tmp_path: Path) -> None:
    async with served(tmp_path) as site:
        status, told = await site.say("abc123", outcome="resolved", value_usd=12.5)
        assert (status, told) == (
            200,
            {"call_id": "abc123", "outcome": "resolved", "value_usd": "12.5"},
        )
        assert (await site.say("abc123", outcome="sold", value_usd="99.95"))[0] == 200
    found = history.find_call(tmp_path / "calls.sqlite3", "abc123")
    assert found is not None
    assert (found[0].outcome, found[0].outcome_value_usd) == ("sold", Decimal("99.95"))
    assert (found[0].cause, found[0].ended_at) == (OVER.cause, OVER.ended_at)
    told_of = history.events(tmp_path / "calls.sqlite3", "abc123")
    assert [event.detail["outcome"] for event in told_of] == ["resolved", "sold"]


async def test_an_exponent_of_nothing_fills_no_record(tmp_path: Path) -> None:
    async with served(tmp_path) as site:
        for nothing in ("0E-99999999", "-0E+99999999"):
            status, told = await site.say("abc123", outcome="resolved", value_usd=nothing)
            assert (status, told["value_usd"]) == (200, "0")


@pytest.mark.parametrize(
    ("call_id", "fields", "status", "message"),
    [
        ("nobody", {"outcome": "resolved"}, 404, "no call 'nobody'"),
        ("abc", {"outcome": "resolved"}, 404, "no call 'abc'"),
        ("def456", {"outcome": "resolved"}, 409, "another process"),
        ("abc123", {}, 400, "`outcome`: Field required"),
        ("abc123", {"outcome": "x" * 81}, 400, "`outcome`"),
        ("abc123", {"outcome": "x", "value_usd": "a lot"}, 400, "`value_usd`"),
        ("abc123", {"outcome": "x", "worth": 3}, 400, "`worth`"),
        ("abc123", {"outcome": "x", "value_usd": 1e300}, 400, "`value_usd`"),
        ("abc123", {"outcome": "x", "value_usd": "1E-99999999"}, 400, "`value_usd`"),
    ],
)
async def test_the_api_refuses(
    tmp_path: Path, call_id: str, fields: dict[str, object], status: int, message: str
) -> None:
    async with served(tmp_path) as site:
        got, told = await site.say(call_id, **fields)
        assert got == status and message in str(told["error"])
    found = history.find_call(tmp_path / "calls.sqlite3", "abc123")
    assert found is not None and found[0].outcome == ""
