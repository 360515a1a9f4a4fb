"""Budgets in the settings, at the telephone's door, and on the command line."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scripted_door import QuietBox, ScriptedDoor, a_store

from agent.admission import BoxFull, OverBudget
from agent.budgets.opening import reckoning
from agent.call import Origin
from agent.cli import main
from agent.config import Config, ConfigError, load_config
from agent.cost.bill import Bill
from agent.outbound import Outbound
from agent.phone import Phone
from agent.placed_call import CallRequest
from agent.records.record import CallRecord
from agent.usage import Usage
from models.tts.base import AudioChunk
from telephony.loopback import LoopbackLine
from telephony.trunk import Trunks
from telephony.trunk_load import TrunkLoad

LIMIT_S = 20
WHOLE = '[[budgets]]\nname = "all"\nlimit = 5\n'


def read(folder: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    (folder / "offhook.toml").write_text(text)
    return load_config(folder / "offhook.toml", environ or {})


def test_budgets_are_read(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        WHOLE + '[[budgets]]\nname = "b"\nlimit = 0.5\nwebhook = "https://x/"\n'
        'webhook_secret_env = "S"\ntime_zone = "Europe/Berlin"',
        {"S": "secret"},
    )
    assert [(b.name, str(b.limit), b.unit, b.period) for b in config.budgets] == [
        ("all", "5", "usd", "day"),
        ("b", "0.5", "usd", "day"),
    ]
    assert config.budgets[1].secret({"S": "secret"}) == "secret"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 'b'\nlimit = -1", "offhook.toml:3: `limit` in entry 1 of [[budgets]] must be "
         "greater than 0"),
        ("name = 'b'", "offhook.toml:1: `limit` in entry 1 of [[budgets]] is missing; it has no "),
        ("unit = 'euro'", "4: `unit` in entry 1 of [[budgets]] must be 'usd', 'minutes', "),
        ("limits = 1", "4: unknown key `limits` in entry 1 of [[budgets]]; did you mean `limit`?"),
        ("time_zone = 'Mars/Olympus'", "4: `time_zone` in entry 1 of [[budgets]] must be a time "),
        ("action = 'cheaper'", "`action` in entry 1 of [[budgets]] is \"cheaper\", which needs "),
        ("cheaper_llm = 'x'", "is 'warn'; `cheaper_llm` and `cheaper_profile` go with \"cheaper\""),
        ("action = 'cheaper'\ncheaper_profile = 'x'", "5: `cheaper_profile` in entry 1 of "
         "[[budgets]] is 'x'; there is: agent"),
        ("per = 'trunk'\nonly = ['x']", "`only` in entry 1 of [[budgets]] names 'x'; there is: "
         "none"),
        ("only = ['x']", "`only` in entry 1 of [[budgets]] goes with a `per` other than box"),
        ("speak_refusal = true", "goes with `action = \"refuse\"` or \"end\""),
        ("webhook_secret = 'x'", "goes with `webhook`"),
        ("webhook = 'https://x'\nwebhook_secret_env = 'NOT_SET'", "names NOT_SET, which is not "),
        ("message = '...'", "has no words to speak"),
        (WHOLE, "`name` in entry 2 of [[budgets]] is 'all', as of another budget; choose another"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    begins = "[[budgets]]\n" if text.startswith("name") else WHOLE
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, begins + text)
    assert message in str(raised.value)


def test_budgets_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"1: `budgets` must be tables: write \[\[budgets\]\]"):
        read(tmp_path, "budgets = 3\n")
    with pytest.raises(ConfigError, match=r"OFFHOOK_BUDGETS__LIMIT: budgets are read from the"):
        read(tmp_path, WHOLE, {"OFFHOOK_BUDGETS__LIMIT": "3"})


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    text = WHOLE + "webhook = 'https://x'\nwebhook_secret = 'hush'\nwebhook_secret_env = 'X'"
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text, {"X": "hush"})
    assert "hush" not in str(raised.value)
    assert "hush" not in repr(read(tmp_path, text.rpartition("\n")[0]))


def test_dollars_that_nobody_knows_are_no_budget(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE)
    bill = Bill.load(config)
    assert reckoning(config, bill)(Usage(call_s=60.0), False)
    unknown = replace(bill, box=replace(bill.box, trunk=None))
    with pytest.raises(ConfigError, match="in usd, and what this box costs is not known"):
        reckoning(config, unknown)
    assert reckoning(read(tmp_path, WHOLE + "unit = 'minutes'"), unknown)


# -- the telephone's door


class ScriptedRinging:
    """An INVITE; tells how it was answered."""

    caller, dialled, trunk, source = "+15551234567@192.0.2.7", "agent", "", "127.0.0.1:5060"

    def __init__(self) -> None:
        self.line: LoopbackLine | None = None
        self.rejected: list[Any] = []

    async def answer(self) -> LoopbackLine:
        self.line = LoopbackLine(8000)
        return self.line

    async def reject(self, status: int, reason: str, retry_after_s: int | None = None) -> None:
        self.rejected.append((status, reason, retry_after_s))


async def ring(tmp_path: Path, refusal: BoxFull) -> tuple[ScriptedRinging, float]:
    """A call to a box that refuses it; how loud it was for who rang."""
    box: Any = QuietBox(Config(), a_store(tmp_path))
    tone = (8000 * np.sin(np.arange(16000) / 10)).astype(np.int16)
    box.engines = SimpleNamespace(
        phrases={"Later.": (AudioChunk(tone, 0.0),)}, tts=SimpleNamespace(sample_rate_hz=16000)
    )

    def gate(door: str, caller: str, origin: Origin) -> Origin:
        raise refusal

    box.gates.append(gate)
    phone = Phone(Config(), {})
    phone._box = box
    ringing = ScriptedRinging()
    try:
        async with asyncio.timeout(LIMIT_S):
            talking = asyncio.create_task(phone._on_call(ringing))  # type: ignore[arg-type]
            heard = []
            while not talking.done():
                if ringing.line is not None and (frame := await ringing.line.hear()) is not None:
                    heard.append(frame)
                await asyncio.sleep(0)
            await talking
    finally:
        await asyncio.to_thread(box.store.close)
    samples = np.frombuffer(b"".join(heard), np.int16).astype(float)
    assert box.refusals["sip"] == 1
    return ringing, float(np.abs(samples).max()) if len(samples) else 0.0


async def test_a_telephone_call_is_refused_before_it_is_answered(tmp_path: Path) -> None:
    ringing, _ = await ring(tmp_path, OverBudget("spent", retry_after_s=3600))
    assert ringing.rejected == [(480, "Temporarily Unavailable", 3600)]
    assert ringing.line is None


async def test_a_telephone_caller_may_be_told_why(tmp_path: Path) -> None:
    refusal = OverBudget("spent", retry_after_s=3600, spoken="Later.")
    ringing, loudest = await ring(tmp_path, refusal)
    assert not ringing.rejected
    assert ringing.line is not None and ringing.line.over
    assert loudest > 5000


async def test_no_telephone_rings_for_a_call_that_is_over_budget(tmp_path: Path) -> None:
    box, door = QuietBox(Config(), a_store(tmp_path)), ScriptedDoor()
    asked: list[Origin] = []

    def gate(door: str, caller: str, origin: Origin) -> Origin:
        asked.append(origin)
        raise OverBudget("spent", retry_after_s=3600)

    box.gates.append(gate)
    outbound = Outbound(box, door, Trunks((), allow=(), profiles=()), TrunkLoad())
    try:
        with pytest.raises(OverBudget):
            outbound.place(CallRequest("sip:bob@127.0.0.1"))
    finally:
        await outbound.close()
        await asyncio.to_thread(box.store.close)
    assert not door.dials
    assert (asked[0].direction, asked[0].dialled) == ("outbound", "sip:bob@127.0.0.1")
    assert box.active_calls == 0


# -- the command


def test_the_command_shows_what_the_records_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    (tmp_path / "offhook.toml").write_text(
        '[[budgets]]\nname = "callers"\nper = "caller"\nunit = "minutes"\nlimit = 2\n'
        'action = "refuse"\nperiod = "month"\n'
    )
    store = a_store(tmp_path)
    now = datetime.now(UTC)
    for name, caller, call_s in (("a", "+15551234567@x", 90.0), ("b", "+15551234567@y", 60.0)):
        usage = Usage(call_s=call_s)
        store.end_call(CallRecord(name, now, "sip", caller, "Joe", cause="c", usage=usage))
    assert store.flush(LIMIT_S)
    store.close()
    assert main(["budgets", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["subject"], told["spent"], told["state"]) == ("+15551234567", "2.5", "spent")
    assert main(["budgets"]) == 0
    shown = capsys.readouterr().out
    assert "125.0%" in shown and "refuse, now" in shown


def test_the_command_without_budgets_says_where_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    assert main(["budgets"]) == 0
    assert "[[budgets]]" in capsys.readouterr().out
