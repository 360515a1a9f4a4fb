"""scripts/setup.py: its pure parts, and that a second run does nothing."""

import hashlib
import importlib.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_setup() -> ModuleType:
    spec = importlib.util.spec_from_file_location("offhook_setup", ROOT / "scripts" / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


setup = load_setup()


def step(done: int) -> str:
    return f"  [{done}/140] /usr/bin/g++ -DGGML_BUILD -c ggml.cpp"


def test_a_terminal_sees_every_step_on_one_line() -> None:
    progress = setup.Progress(terminal=True)
    assert progress.feed("DEBUG -- Configuring done", 0.0) is None
    assert progress.feed(step(1), 10.0) == (
        "\rllama.cpp [....................] 1/140 compiled, 0:00"
    )
    assert progress.feed(step(70), 85.0) == (
        "\rllama.cpp [##########..........] 70/140 compiled, 1:15"
    )
    assert progress.draw(95.0) == "\rllama.cpp [##########..........] 70/140 compiled, 1:25"


def test_elsewhere_a_line_every_ten_per_cent() -> None:
    progress = setup.Progress(terminal=False)
    shown = [progress.feed(step(done), float(done)) for done in range(1, 141)]
    lines = [line for line in shown if line]
    assert len(lines) == 11
    assert lines[-1] == "llama.cpp [####################] 140/140 compiled, 2:19"
    assert not any("\r" in line for line in lines)


def test_downloads_are_told_and_chatter_is_not() -> None:
    progress = setup.Progress(terminal=False)
    assert progress.feed("Downloading ctranslate2 (37.1MiB)", 0.0) is not None
    assert progress.feed("   Building llama-cpp-python==0.3.36", 0.0) == (
        "Building llama-cpp-python==0.3.36"
    )
    assert progress.feed("DEBUG Searching for a compatible version of numpy", 0.0) is None
    assert progress.draw(1.0) is None


def test_the_processor_is_known_by_its_features_whatever_their_order() -> None:
    one = "processor\t: 0\nflags\t\t: fpu avx2 avx\n\nprocessor\t: 1\nflags\t\t: other\n"
    assert setup.cpuinfo_features(one) == "avx avx2 fpu"
    assert setup.cpuinfo_features("processor : 0\nFeatures : fp asimd\n") == "asimd fp"
    assert setup.cpuinfo_features("model name : of no use\n") == ""


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="no /proc/cpuinfo here")
def test_the_processor_id_names_machine_and_features() -> None:
    features = setup.cpuinfo_features(Path("/proc/cpuinfo").read_text())
    expected = hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:12]
    assert setup.processor_id() == expected


def test_what_llama_cpp_is_compiled_with() -> None:
    assert setup.Settings("0123456789ab", cuda=False).defines() == [
        "LLAVA_BUILD=OFF",
        "OFFHOOK_PROCESSOR=0123456789ab",
    ]
    assert "GGML_CUDA=ON" in setup.Settings("0123456789ab", cuda=True).defines()
    assert "GGML_NATIVE=OFF" in setup.Settings("portable", cuda=False).defines()


def test_cuda_is_compiled_when_asked_and_not_when_forbidden() -> None:
    assert setup.wants_cuda({"OFFHOOK_CUDA": "1"}) is True
    assert setup.wants_cuda({"OFFHOOK_CUDA": "0"}) is False
    with pytest.raises(setup.SetupError, match="OFFHOOK_CUDA=yes: set it to 0 or 1"):
        setup.wants_cuda({"OFFHOOK_CUDA": "yes"})


def test_dependencies_are_installed_by_hash_and_llama_cpp_apart(tmp_path: Path) -> None:
    command = setup.dependencies_command(tmp_path, tmp_path / "requirements.txt")
    assert {"--require-hashes", "--no-deps", "--build-constraints"} <= set(command)
    lock = (ROOT / "requirements.lock").read_text()
    rest = setup.without(lock, "llama-cpp-python")
    assert "\nllama-cpp-python==" not in rest
    assert rest.count("==") == lock.count("==") - 1


def test_llama_cpp_is_compiled_from_its_locked_sources(tmp_path: Path) -> None:
    command = setup.compile_command(tmp_path, tmp_path / "one.txt", tmp_path / "wheels")
    assert {"--require-hashes", "--no-build-isolation"} <= set(command)
    assert command[command.index("--no-binary") + 1] == "llama-cpp-python"
    settings = setup.Settings("0123456789ab", cuda=False)
    environ = setup.compile_environment(
        tmp_path, settings, {"PATH": "/usr/bin", "CMAKE_ARGS": "-DMINE=1", "HOME": "/data"}
    )
    assert environ == {
        "PATH": f"{tmp_path}/bin:/usr/bin",
        "CMAKE_ARGS": "-DLLAVA_BUILD=OFF -DOFFHOOK_PROCESSOR=0123456789ab -DMINE=1",
        "HOME": "/data",
    }


def test_a_kept_wheel_is_used_for_the_same_sources_and_processor_alone(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    here = setup.Settings("0123456789ab", cuda=False)
    folder = setup.wheel_folder(environ, "llama-cpp-python==1", here)
    assert folder.is_relative_to(tmp_path)
    assert folder == setup.wheel_folder(environ, "llama-cpp-python==1", here)
    assert folder != setup.wheel_folder(environ, "llama-cpp-python==2", here)
    assert folder != setup.wheel_folder(
        environ, "llama-cpp-python==1", setup.Settings("0123456789ab", cuda=True)
    )
    assert folder != setup.wheel_folder(
        environ, "llama-cpp-python==1", setup.Settings("ba9876543210", cuda=False)
    )


def test_offhook_is_editable_only_where_it_is_developed(tmp_path: Path) -> None:
    assert "--editable" in setup.offhook_command(tmp_path, ROOT, runtime=False)
    assert "--editable" not in setup.offhook_command(tmp_path, ROOT, runtime=True)


def test_uv_is_locked_with_hashes() -> None:
    requirement = setup.locked((ROOT / "requirements.lock").read_text(), "uv")
    assert requirement.startswith("uv==")
    assert requirement.count("--hash=sha256:") > 5
    assert "==" not in requirement.partition("==")[2]
    with pytest.raises(setup.SetupError, match="does not pin nonesuch"):
        setup.locked("uv==1\n", "nonesuch")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    root = tmp_path / "sources"
    (root / "scripts").mkdir(parents=True)
    for name in ("requirements.lock", "requirements-runtime.lock", "requirements-build.lock"):
        (root / name).write_text(name)
    (root / "pyproject.toml").write_text("[project]\n")
    (root / "scripts" / "setup.py").write_text("")
    return root


def test_the_stamp_changes_with_all_that_matters(sources: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    settings = setup.Settings("0123456789ab", cuda=False)
    first = setup.fingerprint(sources, venv, False, settings)
    assert setup.fingerprint(sources, venv, False, settings) == first
    others = [
        setup.fingerprint(sources, venv, True, settings),
        setup.fingerprint(sources, tmp_path / "moved", False, settings),
        setup.fingerprint(sources, venv, False, setup.Settings("ba9876543210", cuda=False)),
        setup.fingerprint(sources, venv, False, setup.Settings("0123456789ab", cuda=True)),
    ]
    (sources / "requirements.lock").write_text("another")
    others.append(setup.fingerprint(sources, venv, False, settings))
    assert first not in others


def test_no_stamp_or_a_broken_one_counts_as_none(tmp_path: Path) -> None:
    assert setup.read_stamp(tmp_path) == {}
    (tmp_path / setup.STAMP).write_text("{half a stam")
    assert setup.read_stamp(tmp_path) == {}


def test_an_environment_of_another_python_is_not_used(tmp_path: Path) -> None:
    assert not setup.usable(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.10.13\n")
    assert not setup.usable(tmp_path)
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion_info = 3.12.1\n")
    assert setup.usable(tmp_path)


@pytest.mark.parametrize(
    ("log", "cure"),
    [
        ("CMake Error: No CMAKE_CXX_COMPILER could be found.", "C++ compiler"),
        ("error: failed to write: No space left on device (os error 28)", "the disk is full"),
        ("c++: fatal error: Killed signal terminated program cc1plus", "ran out of memory"),
        ("CMake Error: CUDA Toolkit not found", "OFFHOOK_CUDA=0"),
        ("  cause: Hash mismatch for `setuptools==84.2.1`", "not the one that was locked"),
        ("error sending request for url: dns error", "check the network"),
        ("av==1 has no wheels with a matching Python ABI tag", "no build for this system"),
    ],
)
def test_each_known_failure_has_its_remedy(log: str, cure: str) -> None:
    assert cure in setup.remedy(f"DEBUG before\n{log}\nDEBUG after")


def test_an_unknown_failure_has_no_made_up_remedy() -> None:
    assert setup.remedy("DEBUG something else") == ""


def test_a_missing_compiler_is_told_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(setup.SetupError, match=r"no C\+\+ compiler found"):
        setup.check_machine(tmp_path / "not" / "made", {})


def test_a_full_disk_is_told_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(setup, "DISK_NEEDED_GIB", 10**9)
    with pytest.raises(setup.SetupError, match="free some space"):
        setup.check_machine(tmp_path / "not" / "made", {})


def test_a_failed_step_shows_the_end_of_its_log_and_the_remedy(tmp_path: Path) -> None:
    code = "print(*range(100), sep='\\n'); print('No space left on device'); raise SystemExit(3)"
    with pytest.raises(setup.SetupError) as caught:
        setup.run([sys.executable, "-c", code], tmp_path, 30)
    lines = str(caught.value).splitlines()
    assert lines[0] == "61" and lines[39] == "No space left on device"
    assert lines[-1].startswith("Likely remedy: the disk is full")
    assert "\n0\n1\n2\n" in (tmp_path / setup.LOG).read_text()


def test_a_step_that_hangs_is_ended(tmp_path: Path) -> None:
    code = "import time\nwhile True: print('still here', flush=True); time.sleep(0.01)"
    with pytest.raises(setup.SetupError, match="was not done after 0 s"):
        setup.run([sys.executable, "-c", code], tmp_path, 0)


def test_it_says_what_it_needs_to_a_python_that_is_too_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    with pytest.raises(setup.SetupError, match=r"Python 3.11, 3.12 or 3.13 is needed"):
        setup.find_python()


def test_the_makefile_sets_up_before_it_runs_anything() -> None:
    if shutil.which("make") is None:
        pytest.fail("make is needed: sudo apt-get install make")
    for target in ("demo", "serve", "bench", "test", "check"):
        plan = subprocess.run(
            ["make", "--no-print-directory", "--dry-run", target, "ARGS=--marker"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout.splitlines()
        where = next(n for n, line in enumerate(plan) if "scripts/setup.py" in line)
        assert where < len(plan) - 1 and plan[-1].endswith("--marker"), target
