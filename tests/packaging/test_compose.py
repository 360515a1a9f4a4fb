"""docker-compose.yml: valid, locked down, and every command that it runs works outside Docker."""

import json
import os
import re
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sysconfig.get_path("scripts"))
TOKEN = "a token for this test alone"
READY_LIMIT_S = 60
VARIABLE = re.compile(r"\$\{(\w+)(?::[?-][^}]*)?\}")


def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert isinstance(loaded, dict)
    return loaded


SERVICES: dict[str, Any] = compose()["services"]
BOXES = ("offhook", "offhook-gpu")
"""One process each, with ports of its own."""


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads(Path(__file__).with_name("compose-spec.json").read_text())
    return jsonschema.Draft7Validator(schema)


def test_it_is_valid_by_the_compose_specification(validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(compose())] == []


def test_the_schema_would_find_a_mistake(validator: Any) -> None:
    wrong = compose()
    wrong["services"]["offhook"]["heathcheck"] = {}
    wrong["services"]["offhook"]["ports"] = "7860"
    assert len(list(validator.iter_errors(wrong))) >= 2


def test_a_profile_for_the_processor_and_one_for_the_gpu() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items()} == {
        "offhook": ["cpu"],
        "offhook-gpu": ["gpu"],
        "edge-signalling": ["edge"],
        "edge-media": ["edge"],
        "edge-workers": ["edge"],
        "turn": ["turn"],
        "prometheus": ["metrics"],
        "grafana": ["metrics"],
    }
    (device,) = SERVICES["offhook-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia" and device["capabilities"] == ["gpu"]
    assert "deploy" not in SERVICES["offhook"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("privileged") is None and service.get("cap_add") is None
    if service.get("network_mode") == "host":
        assert not service.get("ports")
    else:
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    if service.get("command", [""])[0] == "offhook":
        assert service["environment"]["OFFHOOK_TOKEN"].startswith("${OFFHOOK_TOKEN:?")


def test_what_must_be_chosen_has_no_default() -> None:
    written = (ROOT / "docker-compose.yml").read_text()
    chosen = ("OFFHOOK_TOKEN", "EDGE_ADDRESS", "EDGE_MEDIA", "TURN_SECRET", "TURN_ADDRESS")
    for name in (*chosen, "GRAFANA_PASSWORD"):
        assert not re.search(rf"\$\{{{name}(?!:\?)", written), name


def dockerfile() -> list[str]:
    """The Dockerfile's instructions, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    return re.sub(r"\\\n\s*", "", text).splitlines()


def test_the_image_runs_as_a_user_of_its_own() -> None:
    lines = dockerfile()
    final = lines[max(n for n, line in enumerate(lines) if line.startswith("FROM ")) :]
    users = [line for line in final if line.startswith("USER ")]
    assert users == ["USER offhook"]
    after = final[final.index(users[0]) :]
    assert not any(line.startswith(("RUN ", "COPY ")) for line in after)


def test_image_and_services_agree() -> None:
    lines = dockerfile()
    (volumes,) = (json.loads(line[7:]) for line in lines if line.startswith("VOLUME "))
    (command,) = (json.loads(line[4:]) for line in lines if line.startswith("CMD "))
    (exposed,) = (line.split()[1] for line in lines if line.startswith("EXPOSE "))
    arguments = {m[1] for line in lines if (m := re.match(r"ARG (\w+)", line))}
    for name, service in ((name, SERVICES[name]) for name in BOXES):
        assert sorted(v.partition(":")[2] for v in service["volumes"]) == sorted(volumes), name
        assert {v.partition(":")[0] for v in service["volumes"]} < set(compose()["volumes"])
        assert service["command"] == command
        assert [port.rpartition(":")[2] for port in service["ports"]] == [exposed]
        assert service["environment"]["OFFHOOK_SERVER__PORT"] == exposed
        assert set(service["build"].get("args", {})) <= arguments


def test_what_the_image_copies_is_let_into_its_context() -> None:
    let_in = (ROOT / ".dockerignore").read_text()
    for name in ("agent", "models", "telephony", "latency_bench", "scripts", "pyproject.toml"):
        assert f"!{name}\n" in let_in and (ROOT / name).exists()


def test_the_image_is_set_up_by_the_tested_script() -> None:
    """`setup.py --runtime` is run for real where the Dockerfile's options are its own."""
    (build,) = (line for line in dockerfile() if "scripts/setup.py" in line)
    options = re.findall(r"--(?:into|runtime|portable)\b", build)
    assert options == ["--into", "--runtime"]
    assert "ARG PORTABLE=--portable" in dockerfile()
    shown = subprocess.run(
        [SCRIPTS / "python", ROOT / "scripts" / "setup.py", "--help"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    assert {"--into", "--runtime", "--portable"} <= set(re.findall(r"--\w+", shown))


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(service: dict[str, Any], home: Path, port: int) -> dict[str, str]:
    """The service's own environment, in place of whose container: this machine, a free port."""
    given = {"OFFHOOK_TOKEN": TOKEN}
    own = {
        name: VARIABLE.sub(lambda found: given[found[1]], str(value))
        for name, value in service["environment"].items()
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    return {
        **kept,
        **own,
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "OFFHOOK_HOME": str(home / "offhook"),
        "OFFHOOK_RECORDS__PATH": str(home / "records" / "calls.sqlite3"),
        "OFFHOOK_SERVER__HOST": "127.0.0.1",
        "OFFHOOK_SERVER__PORT": str(port),
    }


def healthy(service: dict[str, Any], environ: dict[str, str]) -> bool:
    kind, *command = service["healthcheck"]["test"]
    assert kind == "CMD"
    done = subprocess.run(command, env=environ, capture_output=True, timeout=20)
    return done.returncode == 0


def log_end(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-3000:]


@contextmanager
def running(command: list[str], environ: dict[str, str], cwd: Path) -> Iterator[Path]:
    """The service's command; on leaving it is stopped as Docker stops it."""
    log = cwd / "box.log"
    with log.open("wb") as out:
        box = subprocess.Popen(command, env=environ, cwd=cwd, stdout=out, stderr=out)
        try:
            url = f"http://127.0.0.1:{environ['OFFHOOK_SERVER__PORT']}/"
            deadline_s = time.monotonic() + READY_LIMIT_S
            while not answers(url):
                assert box.poll() is None, f"{command} ended\n{log_end(log)}"
                assert time.monotonic() < deadline_s, f"{command} is not up\n{log_end(log)}"
                time.sleep(0.2)
            yield log
            box.send_signal(signal.SIGTERM)
            assert box.wait(timeout=30) == 0, log_end(log)
        finally:
            if box.poll() is None:
                box.kill()
                box.wait(timeout=10)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        with error:
            return True
    except OSError:
        return False


@pytest.mark.parametrize("name", BOXES)
def test_the_command_serves_and_the_health_check_sees_it(name: str, tmp_path: Path) -> None:
    service = SERVICES[name]
    environ = environment(service, tmp_path, free_port())
    assert not healthy(service, environ)
    with running(service["command"], environ, tmp_path):
        deadline_s = time.monotonic() + READY_LIMIT_S
        while not healthy(service, environ):
            assert time.monotonic() < deadline_s, log_end(tmp_path / "box.log")
            time.sleep(0.5)
        assert not healthy(service, {**environ, "OFFHOOK_TOKEN": "another"})
