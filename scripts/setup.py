"""Sets up .venv: every locked dependency, llama.cpp compiled for this machine, and Offhook.

Runs on the system's own Python, standard library alone, and does nothing when nothing has
changed since the last time. ``make demo`` and ``make test`` call it; the container image too.

It is one long file because nothing is installed yet when it runs: it can import nothing of ours.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Iterator, Mapping, NamedTuple, NoReturn, Sequence

ROOT = Path(__file__).resolve().parents[1]
LOCK = "requirements.lock"
RUNTIME_LOCK = "requirements-runtime.lock"
BUILD_LOCK = "requirements-build.lock"
STAMP = "offhook-setup.json"
LOG = "offhook-setup.log"

SUPPORTED = ((3, 11), (3, 12), (3, 13))
DISK_NEEDED_GIB = 5
NATIVE_PACKAGE = "llama-cpp-python"
COMPILE_STEP = re.compile(r"^\s*\[(\d+)/(\d+)\] ")
NEWS = ("Downloading ", "   Building ", "Building ")

# First match wins: what the log says, and what to do about it.
REMEDIES = (
    (
        r"No CMAKE_CXX?_COMPILER could be found|is not able to compile a simple test program",
        "the C++ compiler is missing or broken: {compiler}",
    ),
    (
        r"No space left on device",
        f"the disk is full: free {DISK_NEEDED_GIB} GiB and run this again",
    ),
    (
        r"Killed signal terminated program|out of memory|Cannot allocate memory",
        "the compiler ran out of memory: close other programs, or compile one file at a time "
        "with CMAKE_BUILD_PARALLEL_LEVEL=1",
    ),
    (
        r"nvcc|CUDA Toolkit not found|Could not find compiler set in environment variable CUDACXX",
        "the CUDA build failed: set OFFHOOK_CUDA=0 to compile for the processor alone",
    ),
    (
        r"[Hh]ash mismatch",
        "a package is not the one that was locked, so it was not installed: look for a proxy or "
        "mirror that changes packages, and do not go around the check",
    ),
    (
        r"error sending request|dns error|[Cc]onnection refused|timed out|[Ff]ailed to fetch",
        "the package index was not reached: check the network or proxy and run this again; "
        "what was downloaded is kept",
    ),
    (
        r"no wheels? with a matching|has no wheels|doesn't have a source distribution",
        "a dependency has no build for this system: Linux (x86-64, arm64) and macOS (arm64) "
        "with Python 3.11 to 3.13 are supported",
    ),
)


class SetupError(Exception):
    """Set-up cannot go on; the message says what is missing and what to do."""


class Settings(NamedTuple):
    """What is compiled, and for what; the compiled wheel is kept under these."""

    processor: str
    """Twelve hex digits, or ``portable``."""
    cuda: bool

    def defines(self) -> list[str]:
        """CMake definitions of llama.cpp, ``NAME=VALUE``."""
        found = ["LLAVA_BUILD=OFF", f"OFFHOOK_PROCESSOR={self.processor}"]
        if self.processor == "portable":
            found.append("GGML_NATIVE=OFF")
        if self.cuda:
            found.append("GGML_CUDA=ON")
        return found


class Progress:
    """Turns a build log into lines for a person.

    On a terminal one line that is drawn again; elsewhere a plain line every ten per cent.
    Lines that begin with ``\\r`` replace the one before.
    """

    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal
        self.done = 0
        self.total = 0
        self._began_s: float | None = None
        self._shown_tenth = -1

    def feed(self, line: str, now_s: float) -> str | None:
        """What to show for one log line read at ``now_s`` (monotonic), if anything."""
        step = COMPILE_STEP.match(line)
        if step:
            if self._began_s is None:
                self._began_s = now_s
            self.done, self.total = int(step[1]), int(step[2])
            tenth = 10 * self.done // self.total
            if self.terminal or tenth != self._shown_tenth:
                self._shown_tenth = tenth
                return self.draw(now_s)
            return None
        if line.startswith(NEWS):
            return line.strip()
        return None

    def draw(self, now_s: float) -> str | None:
        """The compiler's line as of ``now_s``; None while nothing is compiled."""
        if self._began_s is None:
            return None
        tenth = 10 * self.done // self.total
        minutes, seconds = divmod(int(now_s - self._began_s), 60)
        bar = "#" * (2 * tenth) + "." * (20 - 2 * tenth)
        return (
            f"{chr(13) if self.terminal else ''}llama.cpp [{bar}] {self.done}/{self.total} "
            f"compiled, {minutes}:{seconds:02d}"
        )


# What this machine is


def processor_id() -> str:
    """Twelve hex digits that differ wherever code compiled for this processor may not run."""
    features = ""
    if sys.platform == "darwin":
        names = ("machdep.cpu.brand_string", "machdep.cpu.features", "machdep.cpu.leaf7_features")
        features = " ".join(filter(None, (_output(["sysctl", "-n", name]) for name in names)))
    elif Path("/proc/cpuinfo").exists():
        features = cpuinfo_features(Path("/proc/cpuinfo").read_text("utf-8", "replace"))
    return hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:12]


def cpuinfo_features(text: str) -> str:
    """The first processor's features out of ``/proc/cpuinfo``, sorted."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return " ".join(sorted(value.split()))
    return ""


def wants_cuda(environ: Mapping[str, str]) -> bool:
    """Whether llama.cpp is compiled for CUDA: as ``OFFHOOK_CUDA`` says, else where it can be."""
    asked = environ.get("OFFHOOK_CUDA", "")
    if asked not in ("", "0", "1"):
        raise SetupError(f"OFFHOOK_CUDA={asked}: set it to 0 or 1, or leave it out")
    if asked:
        return asked == "1"
    return shutil.which("nvcc") is not None and "GPU 0" in _output(["nvidia-smi", "-L"])


def compiler_remedy() -> str:
    """How to get a C++ compiler here."""
    if sys.platform == "darwin":
        return "run `xcode-select --install`"
    if shutil.which("apt-get"):
        return "run `sudo apt-get install g++ make`"
    return "install g++ or clang++ with this system's package manager"


def check_machine(venv: Path, environ: Mapping[str, str]) -> None:
    """Raises SetupError when the compiler or the disk would stop the set-up halfway."""
    compilers = [environ["CXX"].split()[0]] if environ.get("CXX") else ["c++", "g++", "clang++"]
    if not any(shutil.which(name) for name in compilers):
        raise SetupError(
            f"no C++ compiler found (looked for {', '.join(compilers)}), and llama.cpp is "
            f"compiled for this machine's processor: {compiler_remedy()}"
        )
    free_gib = shutil.disk_usage(_existing(venv)).free / 2**30
    if free_gib < DISK_NEEDED_GIB:
        raise SetupError(
            f"{free_gib:.1f} GiB are free at {_existing(venv)} and {DISK_NEEDED_GIB} are needed: "
            "free some space"
        )


def find_python() -> str:
    """An interpreter of a supported version that can make virtual environments."""
    without_venv = None
    base = getattr(sys, "_base_executable", sys.executable)
    for name in (base, "python3.11", "python3.12", "python3.13", "python3"):
        path = shutil.which(name)
        if path is None:
            continue
        # A version manager's shim may exist for a version that is not switched on.
        version = _output([path, "-c", "import sys; print(*sys.version_info[:2])"]).split()
        if tuple(map(int, version)) not in SUPPORTED:
            continue
        if _succeeds([path, "-c", "import ensurepip, venv"]):
            return path
        without_venv = without_venv or ".".join(version)
    if without_venv:
        raise SetupError(
            f"Python {without_venv} is here without its venv module: run "
            f"`sudo apt-get install python{without_venv}-venv`"
        )
    here = ".".join(map(str, sys.version_info[:2]))
    raise SetupError(
        f"Python 3.11, 3.12 or 3.13 is needed, and python3 is {here}: install one "
        "(`brew install python@3.12` on macOS, `sudo apt-get install python3.12 python3.12-venv` "
        "where the system has it, or pyenv), or name it: make demo PYTHON=/path/to/python3.12"
    )


# What was done before


def fingerprint(root: Path, venv: Path, runtime: bool, settings: Settings) -> dict[str, object]:
    """What the environment in ``venv`` was, or is to be, made from."""
    digest = hashlib.sha256()
    for name in (LOCK, RUNTIME_LOCK, BUILD_LOCK, "pyproject.toml", "scripts/setup.py"):
        digest.update((root / name).read_bytes())
    return {
        "sources": digest.hexdigest(),
        # An environment holds its own path, and an editable install that of the sources.
        "paths": [str(root), str(venv)],
        "runtime": runtime,
        "native": settings.defines(),
    }


def read_stamp(venv: Path) -> dict[str, object]:
    """What the last complete set-up wrote; empty when there was none."""
    try:
        found = json.loads((venv / STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def usable(venv: Path) -> bool:
    """Whether ``venv`` holds a supported, working interpreter."""
    if not (venv / "bin" / "python").exists():
        return False
    try:
        text = (venv / "pyvenv.cfg").read_text("utf-8")
    except OSError:
        return False
    found = re.search(r"^version(?:_info)? *= *(\d+)\.(\d+)", text, re.MULTILINE)
    return found is not None and (int(found[1]), int(found[2])) in SUPPORTED


# What is to be done


def locked(text: str, name: str) -> str:
    """One requirement with its hashes out of a lock file's text."""
    found = re.search(rf"^{re.escape(name)}==(?:.*\\\n)+.*$", text, re.MULTILINE)
    if found is None:
        raise SetupError(f"{LOCK} does not pin {name}: run `make lock`")
    return found[0] + "\n"


def without(text: str, name: str) -> str:
    """A lock file's text but for one requirement."""
    return text.replace(locked(text, name), "")


def dependencies_command(venv: Path, requirements: Path) -> list[str]:
    """Installs what is locked, by hash, and nothing besides; the lock is complete by itself."""
    return [
        *(str(venv / "bin" / "uv"), "pip", "install", "--verbose", "--no-deps"),
        *("--python", str(venv / "bin" / "python"), "--require-hashes", "-r", str(requirements)),
        *("--build-constraints", str(ROOT / BUILD_LOCK)),
    ]


def compile_command(tools: Path, requirement: Path, wheels: Path) -> list[str]:
    """Compiles llama.cpp's locked sources into a wheel, with the locked tools in ``tools``."""
    command = [str(tools / "bin" / "python"), "-m", "pip", "wheel", "--verbose", "--no-deps"]
    command += ["--disable-pip-version-check", "--no-build-isolation", "--no-cache-dir"]
    command += ["--no-binary", NATIVE_PACKAGE, "--require-hashes", "-r", str(requirement)]
    return [*command, "--wheel-dir", str(wheels)]


def compile_environment(
    tools: Path, settings: Settings, environ: Mapping[str, str]
) -> dict[str, str]:
    """Puts the locked tools first, and the settings where the build looks for them.

    Not in pip's ``--config-settings``, which older versions leave out for a file's requirements.
    """
    defines = [f"-D{define}" for define in settings.defines()]
    return {
        **environ,
        "PATH": os.pathsep.join((str(tools / "bin"), environ.get("PATH", ""))),
        "CMAKE_ARGS": " ".join((*defines, environ.get("CMAKE_ARGS", ""))).strip(),
    }


def wheel_folder(environ: Mapping[str, str], requirement: str, settings: Settings) -> Path:
    """Where the compiled wheel is kept: of its own sources and settings, whoever asks for it.

    uv's cache would forget it whenever the index says that the sources may have changed.
    """
    home = environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    made_of = "\n".join((requirement, *settings.defines()))
    key = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    return Path(home, "offhook", "wheels", f"{settings.processor}-{key}")


def offhook_command(venv: Path, root: Path, runtime: bool) -> list[str]:
    """Installs Offhook itself: its sources in place, or a wheel of them where it only runs."""
    command = [str(venv / "bin" / "uv"), "pip", "install", "--verbose", "--no-deps"]
    command += ["--python", str(venv / "bin" / "python")]
    command += ["--build-constraints", str(root / BUILD_LOCK), "--reinstall-package", "offhook"]
    return command + ([str(root)] if runtime else ["--editable", str(root)])


def remedy(log: str) -> str:
    """The likeliest cure for a failed set-up, from its log; empty when none is known."""
    for pattern, cure in REMEDIES:
        if re.search(pattern, log):
            return cure.format(compiler=compiler_remedy())
    return ""


# Doing it


def set_up(venv: Path, runtime: bool, portable: bool) -> None:
    """Brings ``venv`` up to date. Raises SetupError."""
    settings = Settings("portable" if portable else processor_id(), wants_cuda(os.environ))
    wanted = fingerprint(ROOT, venv, runtime, settings)
    before = read_stamp(venv) if usable(venv) else {}
    if before == wanted:
        return
    check_machine(venv, os.environ)
    moved = bool(before) and before.get("paths") != wanted["paths"]
    if moved or not usable(venv):
        python = find_python()
        say(f"Setting up {venv} with {python}")
        run([python, "-m", "venv", "--clear", str(venv)], venv, 120)
        before = {}
    (venv / STAMP).unlink(missing_ok=True)
    (venv / LOG).unlink(missing_ok=True)
    install_uv(venv)
    text = (ROOT / (RUNTIME_LOCK if runtime else LOCK)).read_text("utf-8")
    wheel = native_wheel(venv, text, settings)
    say("Installing the locked dependencies")
    listed = venv / "requirements.txt"
    listed.write_text(without(text, NATIVE_PACKAGE), "utf-8")
    run(dependencies_command(venv, listed), venv, 1200)
    uv = [str(venv / "bin" / "uv"), "pip", "install", "--python", str(venv / "bin" / "python")]
    again = before.get("native") != wanted["native"]
    run([*uv, "--no-deps", *(["--reinstall"] if again else []), str(wheel)], venv, 300)
    run(offhook_command(venv, ROOT, runtime), venv, 300)
    (venv / STAMP).write_text(json.dumps(wanted, indent=2) + "\n", "utf-8")
    say(f"Ready: {venv / 'bin' / 'offhook'} --help")


def native_wheel(venv: Path, lock: str, settings: Settings) -> Path:
    """llama.cpp's wheel for this machine: the one that is kept, else compiled now and kept."""
    requirement = locked(lock, NATIVE_PACKAGE)
    folder = wheel_folder(os.environ, requirement, settings)
    if kept := sorted(folder.glob("*.whl")):
        say(f"llama.cpp was compiled before: {kept[0]}")
        return kept[0]
    say("Compiling llama.cpp for this processor: about 5 minutes on 2 cores, once")
    with tempfile.TemporaryDirectory(prefix="offhook-compile-") as made:
        work = Path(made)
        (work / "requirement.txt").write_text(requirement, "utf-8")
        run([str(venv / "bin" / "python"), "-m", "venv", str(work / "tools")], venv, 120)
        uv = [str(venv / "bin" / "uv"), "pip", "install", "--require-hashes"]
        python = str(work / "tools" / "bin" / "python")
        run([*uv, "--python", python, "-r", str(ROOT / BUILD_LOCK)], venv, 600)
        environ = compile_environment(work / "tools", settings, os.environ)
        command = compile_command(work / "tools", work / "requirement.txt", work / "wheels")
        run(command, venv, 7200, environ)
        (wheel,) = (work / "wheels").glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        # Whole or not at all, should two set-ups or a power cut meet here.
        part = folder / f"{wheel.name}.{os.getpid()}"
        shutil.copyfile(wheel, part)
        os.replace(part, folder / wheel.name)
    return folder / wheel.name


def install_uv(venv: Path) -> None:
    """Puts the locked uv into ``venv``, whether or not another one is on the path."""
    requirement = locked((ROOT / LOCK).read_text("utf-8"), "uv")
    version = requirement.split("==")[1].split()[0]
    if _output([str(venv / "bin" / "uv"), "--version"]).split()[1:2] == [version]:
        return
    say(f"Installing uv {version} into {venv}")
    listed = venv / "uv-requirement.txt"
    listed.write_text(requirement, "utf-8")
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--require-hashes", "-r", str(listed)]
    run(command, venv, 300)
    listed.unlink()


def run(
    command: Sequence[str],
    venv: Path,
    limit_s: float,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Runs a step, shows its progress and keeps its log. Raises SetupError when it fails."""
    progress = Progress(sys.stdout.isatty())
    deadline_s = time.monotonic() + limit_s
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environ,
        start_new_session=True,  # so that the compilers can be ended with it
    )
    tail: list[str] = []
    on_line = False
    try:
        for line in _lines(child):
            now_s = time.monotonic()
            if now_s > deadline_s:
                raise SetupError(f"`{command[0]}` was not done after {limit_s:.0f} s: {venv / LOG}")
            shown = progress.draw(now_s) if line is None else progress.feed(line, now_s)
            if line is None and not progress.terminal:
                shown = None
            elif line is not None:
                tail.append(line)
            if shown:
                on_line = _show(shown, on_line)
    except BaseException:
        os.killpg(child.pid, signal.SIGTERM)
        raise
    finally:
        child.wait()
        if on_line:
            print(flush=True)
        _keep_log(venv, command, tail)
    if child.returncode != 0:
        cure = remedy("\n".join(tail))
        raise SetupError(
            "\n".join(tail[-40:])
            + f"\n\n`{' '.join(command[:3])} ...` failed; the whole log is {venv / LOG}"
            + (f"\nLikely remedy: {cure}" if cure else "")
        )


def _lines(child: subprocess.Popen[bytes]) -> Iterator[str | None]:
    """The child's lines as they come, and None for each second without one."""
    arrived: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        assert child.stdout is not None
        with child.stdout:
            for line in child.stdout:
                arrived.put(line)
        arrived.put(b"")

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = arrived.get(timeout=1)
        except queue.Empty:
            yield None
            continue
        if not line:
            return
        yield line.decode("utf-8", "replace").rstrip()


def _show(text: str, on_line: bool) -> bool:
    """Prints one progress line; answers whether the cursor stays on it."""
    redrawn = text.startswith("\r")
    if on_line and not redrawn:
        print()
    print(text, end="" if redrawn else "\n", flush=True)
    return redrawn


def _keep_log(venv: Path, command: Sequence[str], lines: Sequence[str]) -> None:
    venv.mkdir(parents=True, exist_ok=True)
    with (venv / LOG).open("a", encoding="utf-8") as log:
        log.write("\n".join((f"$ {' '.join(command)}", *lines, "")))


def _output(command: Sequence[str]) -> str:
    """A quick command's standard output; empty when it fails or is not there."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace").strip()


def _succeeds(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _existing(path: Path) -> Path:
    """The nearest folder above that is there."""
    return path if path.exists() else _existing(path.parent)


def say(text: str) -> None:
    """Tells the person at the terminal."""
    print(text, flush=True)


def stop(text: str, status: int) -> NoReturn:
    """Ends with a message on standard error."""
    print(text, file=sys.stderr, flush=True)
    raise SystemExit(status)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--into", type=Path, default=ROOT / ".venv", help="the environment")
    parser.add_argument(
        "--runtime", action="store_true", help="no test tools, and Offhook as a built wheel"
    )
    parser.add_argument(
        "--portable",
        action="store_true",
        help="compile llama.cpp for any processor of this kind (x86-64 with AVX2), not this one",
    )
    asked = parser.parse_args()
    # The compilers run in a session of their own, and are ended on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        set_up(Path(os.path.abspath(asked.into)), asked.runtime, asked.portable)
    except SetupError as error:
        stop(f"Set-up stopped: {error}", 1)
    except KeyboardInterrupt:
        stop("\nSet-up interrupted; run the same command again to go on", 130)


if __name__ == "__main__":
    main()
