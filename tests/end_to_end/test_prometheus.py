"""Debian's Prometheus scrapes a real box after a call, and answers the dashboard's queries."""

import asyncio
import json
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from boxes import OpenBox, web
from loopback_caller import LoopbackCaller
from spoken import Question

from agent.metrics.histogram import ZERO_THRESHOLD

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "offhook.json"
TOKEN = "a token for this test alone"
LIMIT_S = 40.0
RATE_HZ = 8000
ABSENT = {
    "offhook_box_capacity_calls",
    "offhook_box_mean_calls",
    "offhook_budget_used_ratio",
    "offhook_budget_accounts",
}
"""Of a box without budgets that is younger than a minute, and whose capacity nobody measured."""

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="needs Prometheus: apt-get install prometheus"
)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    """A server of its own."""

    def __init__(self, url: str) -> None:
        self.http = httpx2.AsyncClient(base_url=url, timeout=LIMIT_S, trust_env=False)

    async def ask(self, expression: str) -> list[dict[str, Any]]:
        """An instant query's result; an assertion fails where Prometheus refuses it."""
        answer = (await self.http.get("/api/v1/query", params={"query": expression})).json()
        assert answer["status"] == "success", (expression, answer)
        return list(answer["data"]["result"])

    async def until(self, expression: str) -> list[dict[str, Any]]:
        """The result, once there is one."""
        async with asyncio.timeout(LIMIT_S):
            while not (found := await self.ask(expression)):
                await asyncio.sleep(0.2)
        return found

    async def value(self, expression: str) -> float:
        (one,) = await self.ask(expression)
        return float(one["value"][1])


@asynccontextmanager
async def prometheus(folder: Path, port: int, *features: str) -> AsyncIterator[Prometheus]:
    """Scrapes ``port`` every second with the repository's own settings but for where the box is."""
    settings = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())
    (job,) = settings["scrape_configs"]
    del job["dns_sd_configs"]
    settings["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    job["authorization"]["credentials_file"] = str(folder / "token")
    (folder / "token").write_text(TOKEN)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    own = free_port()
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{own}",
            *features,
            stdout=log,
            stderr=log,
        )
    server = Prometheus(f"http://127.0.0.1:{own}")
    try:
        async with asyncio.timeout(LIMIT_S), server.http:
            while True:
                assert process.returncode is None, (folder / "log").read_text()
                try:
                    if (await server.http.get("/-/ready")).status_code == 200:
                        break
                except httpx2.TransportError:
                    await asyncio.sleep(0.1)
            yield server
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(LIMIT_S):
            await process.wait()


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [re.sub(r"\$__(?:rate_interval|range)", "1m", query) for query in found]


async def exposed(url: str) -> set[str]:
    """The names of all series, as the text format has them."""
    async with httpx2.AsyncClient(trust_env=False, timeout=LIMIT_S) as http:
        refused = await http.get(f"{url}metrics")
        assert refused.status_code == 401
        answer = await http.get(f"{url}metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {re.split(r"[{ ]", line)[0] for line in lines}


async def test_a_call_is_found_in_both_kinds_of_prometheus(
    open_box: OpenBox, question: Question, tmp_path: Path
) -> None:
    settings = {"OFFHOOK_SERVER__PORT": "0", "OFFHOOK_TOKEN": TOKEN}
    (tmp_path / "native").mkdir()
    (tmp_path / "classic").mkdir()
    async with (
        open_box(**settings) as box,
        web(box) as server,
        prometheus(
            tmp_path / "native", server.port, "--enable-feature=native-histograms"
        ) as native,
        prometheus(tmp_path / "classic", server.port) as classic,
    ):
        both = (native, classic)
        for each in both:
            await each.until('offhook_owned_usd_total{line="idle"}')
        async with LoopbackCaller(box, RATE_HZ) as caller:
            await caller.turn(0)
            await caller.say(question.at(RATE_HZ))
            turn = await caller.turn(1)
            for each in both:
                await each.until("offhook_calls_active == 1")
        for each in both:
            await each.until("sum(offhook_calls_ended_total) == 1")

        (of_call,) = await native.ask("offhook_voice_to_voice_seconds")
        assert of_call["metric"]["door"] == "loopback"
        total_s = turn["total_ms"] / 1000
        median = "histogram_quantile(0.5, offhook_voice_to_voice_seconds)"
        assert await native.value(median) == pytest.approx(total_s, rel=0.1)
        assert total_s > ZERO_THRESHOLD
        assert await native.ask("offhook_voice_to_voice_seconds_bucket") == []
        assert await classic.value("offhook_voice_to_voice_seconds_sum") == pytest.approx(total_s)
        steps_s = "sum(histogram_sum(offhook_turn_stage_seconds))"
        assert await native.value(steps_s) == pytest.approx(total_s)

        (record,) = box.store.recent_calls(1)
        for each in both:
            for stage, busy_s in record.usage.busy_s.items():
                found = await each.value(f'offhook_stage_busy_seconds_total{{stage="{stage}"}}')
                assert found == pytest.approx(busy_s)
            for view, lines in record.owned_lines.items():
                total = f'sum(offhook_owned_usd_total{{view="{view}"}})'
                left_out = f'offhook_calls_unpriced_total{{bill="owned", name="{view}"}}'
                priced = lines is not None and None not in lines.values()
                due = sum(float(usd or 0) for usd in lines.values()) if lines and priced else 0.0
                assert await each.value(total) == pytest.approx(due)
                assert await each.value(left_out) == (0 if priced else 1)

        names = await exposed(server.url)
        for query in queries():
            used = set(re.findall(r"\b(?:offhook|process)_\w+", query))
            missing = {name for name in used if not {name, f"{name}_bucket"} & names}
            assert missing <= ABSENT, query
            for each in both:
                # A rate is there from the second scrape on; what was not measured has no series.
                await (each.ask(query) if missing else each.until(query))
