"""Prometheus comes up with the service's own command, and Grafana is given what it asks for."""

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
TOKEN = "a token with spaces, %s and $HOME"
LIMIT_S = 40.0

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="needs Prometheus: apt-get install prometheus"
)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as answer:
        loaded = json.loads(answer.read())
    assert isinstance(loaded, dict)
    return loaded


@needs_prometheus
def test_prometheus_takes_its_settings_and_the_token(tmp_path: Path) -> None:
    service, port = SERVICES["prometheus"], free_port()
    own = {
        "/etc/prometheus/prometheus.yml": str(tmp_path / "prometheus.yml"),
        "/tmp/offhook-token": str(tmp_path / "token"),
        "=/prometheus ": f"={tmp_path / 'data'} ",
    }
    (command,) = service["command"]
    settings = (ROOT / "deploy" / "prometheus.yml").read_text()
    for path, here in own.items():
        command, settings = command.replace(path, here), settings.replace(path, here)
    (tmp_path / "prometheus.yml").write_text(settings)
    # Compose's way to write a dollar; the rest is for this machine.
    command = command.replace("$$", "$") + f" --web.listen-address=127.0.0.1:{port}"
    process = subprocess.Popen(
        [*service["entrypoint"], command],
        env={"PATH": "/usr/bin:/bin", "OFFHOOK_TOKEN": TOKEN},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until_s = time.monotonic() + LIMIT_S
        while True:
            assert process.poll() is None and time.monotonic() < until_s
            try:
                loaded = get(f"http://127.0.0.1:{port}/api/v1/status/config")
                break
            except OSError:
                time.sleep(0.1)
    finally:
        process.terminate()
        process.wait(timeout=LIMIT_S)
    (job,) = yaml.safe_load(loaded["data"]["yaml"])["scrape_configs"]
    assert job["job_name"] == "offhook"
    token = tmp_path / "token"
    assert token.read_text() == TOKEN and token.stat().st_mode & 0o777 == 0o600
    checked = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_it_scrapes_the_services_that_hold_a_box() -> None:
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    for name in found["names"]:
        assert SERVICES[name]["environment"]["OFFHOOK_SERVER__PORT"] == str(found["port"])
    boxes = [name for name, each in SERVICES.items() if each.get("image", "").startswith("offhook")]
    # The workers behind an edge are on the machine's own network; docs/metrics.md says how.
    assert set(found["names"]) == {
        name for name in boxes if SERVICES[name].get("network_mode") != "host"
    }


def test_grafana_finds_the_dashboard_and_its_data() -> None:
    grafana = SERVICES["grafana"]
    mounts = dict(volume.split(":")[:2][::-1] for volume in grafana["volumes"])
    provisioning = ROOT / mounts["/etc/grafana/provisioning"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "offhook.yml").read_text())[
        "providers"
    ]
    folder = ROOT / mounts[provider["options"]["path"]]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (folder / Path(home).name).is_file() and Path(home).parent == Path(
        provider["options"]["path"]
    )
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    name, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()  # type: ignore[union-attr]
    assert SERVICES[name]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_the_dashboards_panels_do_not_overlap_and_each_asks_something() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/offhook.json").read_text())
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["title"] and panel["targets"]
            assert all(target["expr"] for target in panel["targets"])
