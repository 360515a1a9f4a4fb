"""How many calls the box takes: as the settings say, as was measured here, or the default."""

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent import doctor, findings
from agent.capacity import Places, capacity_file, cpu_name, model_names, places_of, share_of
from agent.config import Config, ConfigError, load_config
from agent.cost.bill import Bill
from agent.cost.owned import Share, View
from agent.sections import DEFAULT_CALLS
from agent.supervisor import Supervisor
from agent.usage import Usage


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(None, {"OFFHOOK_HOME": str(tmp_path)})


def report(config: Config, **changes: Any) -> dict[str, Any]:
    """What `offhook bench capacity --install` leaves, as far as the box reads it."""
    machine = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "gpu": None,
        "models": model_names(config),
        **changes.pop("machine", {}),
    }
    return {
        "schema": "offhook-bench/1",
        "kind": "capacity",
        "began_utc": "2026-05-04T10:00:00+00:00",
        "machine": machine,
        "settings": {"seed": 1, "devices": {"stt": "auto"}},
        "levels": [{"calls": 1}],
        "capacity": {"calls": 7, "saturated": "cores", "why": "..."},
        **changes,
    }


def keep(config: Config, body: object) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    capacity_file(config).write_text(text, encoding="utf-8")


def test_a_number_in_the_settings_wins(config: Config, tmp_path: Path) -> None:
    keep(config, report(config))
    config = load_config(None, {"OFFHOOK_HOME": str(tmp_path), "OFFHOOK_CALLS__MAX_CALLS": "12"})
    assert places_of(config) == Places(12, "settings", "set by `max_calls` in [calls]")


def test_what_was_measured_here_is_taken(config: Config) -> None:
    keep(config, report(config))
    found = places_of(config)
    assert found == Places(7, "measured", "measured on this machine, 2026-05-04")
    assert findings.places(found).state == "fine"


def test_unmeasured_the_default_holds(config: Config) -> None:
    found = places_of(config)
    assert (found.calls, found.source, found.warning) == (DEFAULT_CALLS, "default", None)
    assert "offhook bench capacity" in found.why
    assert findings.places(found).state == "note"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"machine": {"cpu": "Another 9000"}}, "measured on Another 9000 with"),
        ({"machine": {"cores": 999}}, "with 999 cores, and this machine is"),
        ({"machine": {"models": {"stt": "whisper-tiny.en"}}}, "with no model for llm"),
        (
            {"machine": {"models": {"stt": "parakeet", "llm": "x", "tts": "y"}}},
            "with parakeet for stt, and this box has whisper-tiny.en",
        ),
        ({"settings": {"devices": {"tts": "cuda"}}}, "device cuda for tts"),
        ({"kind": "run"}, "no report of that bench (kind"),
        ({"schema": "offhook-bench/9"}, "no report of that bench (schema"),
        ({"capacity": None}, "no report of that bench (capacity"),
        ({"capacity": {"calls": -1}}, "no report of that bench (capacity.calls"),
        ({"capacity": {"calls": True}}, "no report of that bench (capacity.calls"),
        ({"capacity": {"calls": 1e9}}, "no report of that bench (capacity.calls"),
        ({"machine": {"cores": "2"}}, "no report of that bench (machine.cores"),
    ],
)
def test_another_machines_or_broken_file_is_a_warning(
    config: Config, changes: dict[str, Any], words: str
) -> None:
    keep(config, report(config, **changes))
    found = places_of(config)
    assert (found.calls, found.source) == (DEFAULT_CALLS, "default")
    assert found.warning is not None and words in found.warning
    assert str(capacity_file(config)) in found.warning and "--install" in found.warning
    assert str(capacity_file(config)) not in found.why
    assert findings.places(found).state == "note"


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\x00\xff", "[" * 100_000, "1" * 5_000_000])
def test_what_is_no_json_is_a_warning(config: Config, text: str) -> None:
    keep(config, text)
    found = places_of(config)
    assert found.calls == DEFAULT_CALLS and found.warning


def test_a_folder_in_its_place_is_a_warning(config: Config) -> None:
    capacity_file(config).mkdir()
    assert "cannot be read" in (places_of(config).warning or "")


def test_a_machine_that_carries_none_takes_one(config: Config) -> None:
    keep(config, report(config, capacity={"calls": 0}))
    found = places_of(config)
    assert found.calls == 1 and "not even one" in (found.warning or "")


def test_workers_share_what_was_measured(tmp_path: Path) -> None:
    def shares(workers: str) -> dict[str, str]:
        environ = {"OFFHOOK_HOME": str(tmp_path), "OFFHOOK_WORKERS__COUNT": workers}
        config = load_config(None, environ)
        keep(config, report(config))
        return share_of(config)

    assert shares("3") == {"OFFHOOK_CALLS__MAX_CALLS": "2"}
    assert shares("9") == {"OFFHOOK_CALLS__MAX_CALLS": "1"}
    assert shares("1") == {}


def test_each_worker_is_told_how_many_share_the_box(tmp_path: Path) -> None:
    given = {"OFFHOOK_HOME": str(tmp_path), "OFFHOOK_WORKERS__COUNT": "3"}
    supervisor = Supervisor(load_config(None, given), given, ["worker"])
    told = load_config(None, supervisor._plans[1].environ(supervisor._environ)).workers
    assert (told.count, told.shared_by) == (0, 3)


@pytest.mark.parametrize("value", ["0", "10001", "many", "2.5", ""])
def test_max_calls_is_auto_or_a_number(value: str) -> None:
    with pytest.raises(
        ConfigError,
        match="OFFHOOK_CALLS__MAX_CALLS: `max_calls` in .calls. must be"
        ' "auto" or a whole number of 1 to 10000',
    ) as refused:
        load_config(None, {"OFFHOOK_CALLS__MAX_CALLS": value})
    assert "\n" not in str(refused.value)


def test_a_number_in_quotes_is_a_mistake_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "offhook.toml"
    file.write_text('[calls]\nmax_calls = "4"\n')
    with pytest.raises(ConfigError, match='offhook.toml:2: .*"auto" or a whole number'):
        load_config(file, {})
    file.write_text('[calls]\nmax_calls = "auto"\n')
    assert load_config(file, {}).calls.max_calls == "auto"


def test_the_doctor_says_how_many(config: Config, tmp_path: Path) -> None:
    keep(config, report(config))
    found = {f.subject: f for f in doctor.examine(None, {"OFFHOOK_HOME": str(tmp_path)})}
    assert found["calls at once"].text == "7; measured on this machine, 2026-05-04"


def test_the_bill_tells_what_a_full_box_would_charge(config: Config) -> None:
    usage = Usage(call_s=60.0, stt_busy_s=0.3, llm_busy_s=1.0)
    assert Bill.load(config).shares()[View.CAPACITY] is None
    keep(config, report(config))
    bill = Bill.load(config)
    calls = places_of(config).calls
    assert calls > 1 and bill.shares()[View.CAPACITY] == Share(View.CAPACITY, Decimal(calls))
    alone, full = bill.owned_usd(usage), bill.owned(usage)[View.CAPACITY]
    assert alone is not None and full is not None and full.total_usd is not None
    # Idle time is shared; what the call itself used is not.
    assert alone / calls < full.total_usd < alone
