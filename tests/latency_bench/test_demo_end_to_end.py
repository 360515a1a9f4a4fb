"""The real box calls itself: real engines, real WebRTC, two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from latency_bench.box_process import free_port

LIMIT_S = 240


def demo(tmp_path: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """`offhook demo --once`: its exit status, its JSON and what it printed."""
    out = tmp_path / "demo.json"
    environ = {
        **os.environ,
        "OFFHOOK_SERVER__PORT": str(free_port()),
        "OFFHOOK_RECORDS__PATH": str(tmp_path / "calls.sqlite3"),
    }
    ran = subprocess.run(
        [sys.executable, "-m", "agent.cli", "demo", "--once", "--json", str(out), *arguments],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    printed = ran.stdout + ran.stderr
    assert out.is_file(), printed
    return ran.returncode, json.loads(out.read_text()), printed


@pytest.mark.timeout(LIMIT_S + 30)
def test_the_box_hears_and_answers_itself(tmp_path: Path) -> None:
    status, result, printed = demo(tmp_path, "--say", "Where is the nearest train station?")
    assert status == 0, printed
    assert "train station" in str(result["heard"]).lower()
    assert result["expected"] == "Where is the nearest train station?"
    assert result["answer"] and result["returned_audio_text"]
    assert isinstance(result["v2v_ms"], float) and result["v2v_ms"] > 0
    assert {"end_of_turn", "first_packet"} <= set(result["stages_ms"])
    assert "owned" in result["cost_usd"]
    assert "faster and higher than the agent" in " ".join(printed.split())
