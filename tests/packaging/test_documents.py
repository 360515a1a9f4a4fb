"""What the documents tell a reader to type exists, and nothing tracked names one machine."""

import re
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest
import yaml

from agent.cli import make_parser

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
# Commands of the reader's own system, which are taken to be there.
SYSTEM = {"cd", "git", "curl", "sudo", "brew", "xcode-select", "openssl", "cp", "export", "open"}
# Programs of Debian packages, which the document that runs them says to install.
SYSTEM |= {"kamailio", "rtpengine"}


def tracked() -> list[Path]:
    shown = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    ).stdout
    return [ROOT / name for name in shown.split("\0") if name and (ROOT / name).is_file()]


def commands(document: Path) -> list[str]:
    """The lines of a document's shell blocks, prompts and comments taken off."""
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", document.read_text(), re.M | re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines = [re.sub(r"^\$ ", "", line.strip()) for line in lines]
    return [line for line in lines if line and not line.startswith("#")]


ALL = [(document.name, line) for document in DOCUMENTS for line in commands(document)]


def words_of(line: str) -> list[str]:
    """One command's words, with comments and variables set before it taken off."""
    words = shlex.split(line, comments=True)
    while words and re.match(r"\w+=", words[0]):
        words.pop(0)
    return words


@pytest.mark.parametrize(("document", "line"), ALL, ids=[f"{d}: {c}" for d, c in ALL])
def test_a_command_in_a_document_exists(document: str, line: str) -> None:
    for part in re.split(r"\s+(?:&&|\|\|?|;)\s+", line):
        words = words_of(part)
        if not words or words[0] in SYSTEM:
            continue
        name = words[0].removeprefix(".venv/bin/")
        if name == "make":
            make = subprocess.run(
                ["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, timeout=30
            )
            assert make.returncode == 0, make.stderr.decode()
        elif name == "offhook":
            check_offhook(words[1:])
        elif name == "docker":
            check_docker(words)
        elif name in ("bash", "python", "python3"):
            assert (ROOT / words[1]).is_file() or words[1].startswith("-"), words[1]
        else:
            own = (ROOT / words[0]).is_file()
            assert own or (Path(sysconfig.get_path("scripts")) / name).is_file(), (
                f"{document}: {words[0]} is no command that Offhook brings"
            )


def check_offhook(arguments: list[str]) -> None:
    """Its own parser takes the arguments, but for `--help`, which ends a program."""
    try:
        make_parser().parse_args(arguments)
    except SystemExit as stop:
        assert stop.code == 0, f"offhook {' '.join(arguments)} is refused"


def check_docker(words: list[str]) -> None:
    assert words[1] in ("compose", "build"), words
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    profiles = {profile for service in services.values() for profile in service["profiles"]}
    asked = {words[n + 1] for n, word in enumerate(words) if word == "--profile"}
    assert asked <= profiles


def test_the_readme_gives_the_two_commands() -> None:
    given = {line for document, line in ALL if document == "README.md"}
    assert {"make demo", "make test"} <= {" ".join(words_of(line)) for line in given}


def test_links_between_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


# Written in parts, so that this file does not hold what it looks for.
HOSTS = ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "deb.debian" + ".org")
HOMES = re.compile("/" + r"(?:home|Users)/\w+/")


def test_no_tracked_file_names_one_machine_or_a_registry() -> None:
    own = (f"{ROOT}/", f"{Path.home()}/")
    found = []
    for path in tracked():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        text = content.decode("utf-8", "replace")
        names = [name for name in (*HOSTS, *own) if name in text] + HOMES.findall(text)
        found += [f"{path.relative_to(ROOT)}: {name}" for name in names]
    assert found == []
