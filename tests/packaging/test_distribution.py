"""Names, declared dependencies, and the wheel installed in an environment of its own."""

import ast
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agent", "models", "telephony", "latency_bench")
UV = Path(sysconfig.get_path("scripts")) / "uv"


def run(*command: str | Path, cwd: Path, limit_s: float = 100) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=limit_s)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_owns_our_names(package: str) -> None:
    assert set(packages_distributions().get(package, ["offhook"])) == {"offhook"}
    folders = [Path(entry or ".").resolve() / package for entry in sys.path]
    found = {folder for folder in folders if folder.is_dir()}
    assert found == {ROOT / package}


def third_party_imports(source: Path) -> Iterator[str]:
    """The top-level names that a module imports from outside Offhook and Python."""
    known = {*PACKAGES, *sys.stdlib_module_names}
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        else:
            continue
        for name in names:
            if name.partition(".")[0] not in known:
                yield name.partition(".")[0]


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}


LOADED_BY_NAME = {"psycopg"}
"""SQLAlchemy imports it for addresses that begin with postgresql+psycopg."""


def test_every_import_is_a_declared_dependency() -> None:
    owners = packages_distributions()
    undeclared = {
        f"{source.relative_to(ROOT)} imports {name}"
        for package in PACKAGES
        for source in (ROOT / package).rglob("*.py")
        for name in third_party_imports(source)
        if not declared() & {canonicalize_name(owner) for owner in owners.get(name, [])}
    }
    assert not undeclared


def test_every_declared_dependency_is_used() -> None:
    owners = packages_distributions()
    used = {
        canonicalize_name(owner)
        for package in PACKAGES
        for source in (ROOT / package).rglob("*.py")
        for name in third_party_imports(source)
        for owner in owners.get(name, [])
    }
    catalogue = (ROOT / "models" / "catalogue.toml").read_text()
    carriers = {canonicalize_name(name) for name in re.findall(r'"package:([^/"]+)/', catalogue)}
    assert declared() - used - carriers - LOADED_BY_NAME == set()


def test_the_model_packages_are_installed_where_the_catalogue_says() -> None:
    catalogue = tomllib.loads((ROOT / "models" / "catalogue.toml").read_text())
    sources = [model["source"] for model in catalogue["model"]]
    packaged = [source.removeprefix("package:") for source in sources if "package:" in source]
    assert packaged
    for place in packaged:
        name, _, folder = place.partition("/")
        assert Path(str(distribution(name).locate_file(folder))).is_dir(), place


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    constraints = ROOT / "requirements-build.lock"
    run(
        *(UV, "build", "--wheel", "--build-constraints", constraints, "--out-dir", folder, ROOT),
        cwd=folder,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_tracked_file_of_the_packages(wheel: Path) -> None:
    tracked = run("git", "ls-files", *PACKAGES, cwd=ROOT).splitlines()
    held = set(zipfile.ZipFile(wheel).namelist())
    assert [name for name in tracked if (ROOT / name).exists() and name not in held] == []
    tops = {name.partition("/")[0] for name in held if ".dist-info/" not in name}
    assert tops == set(PACKAGES)


@pytest.fixture(scope="module")
def clean_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; its dependencies are lent by the one that runs the tests."""
    venv = tmp_path_factory.mktemp("clean") / "venv"
    run(UV, "venv", "--python", sys.executable, venv, cwd=venv.parent)
    run(UV, "pip", "install", "--no-deps", "--python", venv, wheel, cwd=venv.parent)
    (site,) = venv.glob("lib/python*/site-packages")
    # A folder named in a .pth file is searched, and its own .pth files are not read: the
    # editable install of the sources does not come along.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv


def test_the_wheel_is_imported_from_another_folder(clean_environment: Path, tmp_path: Path) -> None:
    code = f"import {', '.join(PACKAGES)}; print(*(m.__file__ for m in ({', '.join(PACKAGES)})))"
    shown = run(clean_environment / "bin" / "python", "-I", "-c", code, cwd=tmp_path)
    assert [Path(file).is_relative_to(clean_environment) for file in shown.split()] == [True] * 4


def test_the_installed_command_runs(clean_environment: Path, tmp_path: Path) -> None:
    shown = run(clean_environment / "bin" / "offhook", "--help", cwd=tmp_path)
    for command in ("serve", "demo", "doctor", "calls", "models", "bench"):
        assert command in shown
