"""The lock files hold what pyproject.toml asks for, by hash, for every supported Python."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-runtime.lock", "requirements-build.lock")
PYTHONS = ("3.11", "3.12", "3.13")
SYSTEMS = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def blocks(lock: str) -> list[str]:
    """Each requirement with its hashes, comments left out."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE)
    return [block for block in re.split(r"\n(?=\S)", text) if block.strip()]


def pins(lock: str) -> dict[str, list[Requirement]]:
    """The pins of each distribution, with their markers."""
    found: dict[str, list[Requirement]] = {}
    for block in blocks(lock):
        requirement = Requirement(block.partition("\\\n")[0].strip())
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def environment(python: str, system: str, machine: str) -> dict[str, str]:
    return {
        **{name: str(value) for name, value in default_environment().items()},
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": system,
        "platform_machine": machine,
        "platform_system": system.capitalize(),
    }


ASKED = [
    ("requirements.lock", project()["project"]["dependencies"]),
    ("requirements.lock", project()["dependency-groups"]["dev"]),
    ("requirements-runtime.lock", project()["project"]["dependencies"]),
    ("requirements-build.lock", project()["dependency-groups"]["build"]),
    ("requirements-build.lock", project()["build-system"]["requires"]),
]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("system", "machine"), SYSTEMS)
def test_one_pin_answers_each_dependency(python: str, system: str, machine: str) -> None:
    where = environment(python, system, machine)
    for lock, asked in ASKED:
        locked = pins(lock)
        for text in asked:
            wanted = Requirement(text)
            if wanted.marker is not None and not wanted.marker.evaluate(where):
                continue
            name = canonicalize_name(wanted.name)
            assert name in locked, f"{lock} does not hold {text}: run `make lock`"
            here = [p for p in locked[name] if p.marker is None or p.marker.evaluate(where)]
            assert len(here) == 1, f"{lock}: {name} has {len(here)} pins on {python} {system}"
            (specifier,) = here[0].specifier
            assert specifier.operator == "=="
            assert wanted.specifier.contains(specifier.version), (
                f"{lock} holds {here[0]}, pyproject.toml asks for {text}: run `make lock`"
            )


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_its_hashes_and_no_address(lock: str) -> None:
    for block in blocks(lock):
        assert "--hash=sha256:" in block, f"{lock}: {block.splitlines()[0]} has no hash"
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"--(extra-)?index-url|--find-links|file:", text)


def test_the_image_runs_what_is_tested() -> None:
    """The runtime lock is a part of the whole one, pin for pin and hash for hash."""
    whole = set(blocks("requirements.lock"))
    lacking = [b.splitlines()[0] for b in blocks("requirements-runtime.lock") if b not in whole]
    assert not lacking, "run `make lock`"


def test_no_test_tool_is_in_the_image() -> None:
    assert (
        not {"pytest", "ruff", "mypy", "playwright", "uv"}
        & pins("requirements-runtime.lock").keys()
    )


@pytest.mark.parametrize("heavy", ["torch", "tensorflow", "nvidia-cudnn-cu12"])
def test_nothing_heavy_slips_in(heavy: str) -> None:
    assert heavy not in pins("requirements.lock")
