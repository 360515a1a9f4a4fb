"""``offhook models``: what is known, what is here, fetch one, make one the default."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import tomlkit
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table
from tomlkit.exceptions import TOMLKitError

from models.catalogue import HubSource, ModelEntry, shipped
from models.errors import ModelError, ModelNotFound
from models.fetch import fetch
from models.loading import locate, model_folder
from models.lock import ModelLock

_DEFAULT_CONFIG = Path("offhook.toml")

Action = Callable[[argparse.Namespace, Console], int]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds ``models`` to a command line; each of its actions sets ``func(args) -> exit status``."""
    parser = subparsers.add_parser("models", help="list, show, fetch and choose models")
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def action(name: str, run: Action, summary: str) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=summary, description=summary)
        one.set_defaults(func=lambda args: _run(run, args))
        return one

    action("list", _list, "every model of the catalogue, and whether it is on this machine")
    for name, run, summary in (
        ("show", _show, "all that is known about one model"),
        ("fetch", _fetch, "bring a model of the hub to this machine"),
        ("use", _use, "make a model the default for its kind in the configuration file"),
    ):
        action(name, run, summary).add_argument("name", metavar="NAME")


def set_default(config: Path, kind: str, name: str) -> None:
    """Writes ``[models] <kind> = "<name>"`` and leaves the rest of the file as it is.

    Raises ModelError where the file is not TOML, and OSError where it cannot be written.
    """
    text = config.read_text(encoding="utf-8") if config.exists() else ""
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise ModelError(f"{config}: not valid TOML: {error}; correct it first") from error
    section = document.setdefault("models", tomlkit.table())
    if not hasattr(section, "items"):
        raise ModelError(f"{config}: models must be a table, such as [models]")
    section[kind] = name
    temporary = config.with_name(f"{config.name}.new")
    temporary.write_text(tomlkit.dumps(document), encoding="utf-8")
    temporary.replace(config)


def presence(entry: ModelEntry) -> str:
    """In one or two words: whether the model's files are on this machine."""
    try:
        folder = model_folder(entry)
    except ModelNotFound:
        return "not installed"
    present = sum((folder / file.path).is_file() for file in entry.files)
    if present == len(entry.files):
        return "yes"
    if present:
        return "partly"
    return "to fetch" if isinstance(entry.source, HubSource) else "missing"


def _run(run: Action, args: argparse.Namespace) -> int:
    try:
        return run(args, Console())
    except (ModelError, OSError) as error:
        print(f"offhook models: {error}", file=sys.stderr)
        return 1


def _list(args: argparse.Namespace, console: Console) -> int:
    table = Table(box=None, pad_edge=False, header_style="bold")
    # A name is typed again, so it is never shortened; the licence gives way.
    table.add_column("name", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("language", overflow="fold")
    table.add_column("licence", overflow="fold")
    table.add_column("here?")
    for entry in shipped().values():
        table.add_row(
            entry.name,
            entry.kind,
            _size(entry.size_bytes),
            _memory(entry),
            entry.language,
            entry.licence,
            presence(entry),
        )
    console.print(table)
    console.print("~ an estimate; ? the hub says at the first fetch", style="dim")
    return 0


def _show(args: argparse.Namespace, console: Console) -> int:
    entry = shipped().find(args.name)
    fetched = ModelLock().fetched(entry.name, str(entry.source))
    facts = {
        "name": entry.name,
        "kind": entry.kind,
        "source": str(entry.source),
        "fetched at commit": fetched.commit if fetched else None,
        "licence": entry.licence,
        "language": entry.language,
        "size": _size(entry.size_bytes),
        "memory": _memory(entry) + (" (measured)" if entry.memory_measured else " (estimated)"),
        "on this machine": presence(entry),
    }
    # Soft-wrapped: a checksum broken over two lines cannot be copied.
    for fact, value in facts.items():
        if value is not None:
            console.print(f"{fact:18}{value}", soft_wrap=True, highlight=False, markup=False)
    for file in entry.files:
        recorded = fetched.files.get(file.path) if fetched else None
        sha256 = file.sha256 or (recorded.sha256 if recorded else "unknown until fetched")
        console.print(f"file              {file.path}", soft_wrap=True, highlight=False)
        console.print(f"  sha256          {sha256}", soft_wrap=True, highlight=False)
    return 0


def _fetch(args: argparse.Namespace, console: Console) -> int:
    entry = shipped().find(args.name)
    if isinstance(entry.source, HubSource):
        _fetch_shown(entry, console)
    console.print(f"{entry.name}: {locate(entry.name, entry.kind)}", soft_wrap=True)
    return 0


def _use(args: argparse.Namespace, console: Console) -> int:
    entry = shipped().find(args.name)
    if isinstance(entry.source, HubSource):
        _fetch_shown(entry, console)
    locate(entry.name, entry.kind)
    config = Path(getattr(args, "config", None) or _DEFAULT_CONFIG)
    set_default(config, entry.kind, entry.name)
    console.print(f'{config}: models.{entry.kind} = "{entry.name}"', soft_wrap=True, markup=False)
    return 0


def _fetch_shown(entry: ModelEntry, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=console) as progress:
        bars = {file.path: progress.add_task(file.path, total=None) for file in entry.files}
        fetch(
            entry,
            lambda path, here, total: progress.update(bars[path], completed=here, total=total),
        )


def _size(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else f"{size_bytes / 1e6:,.0f} MB"


def _memory(entry: ModelEntry) -> str:
    return f"{'' if entry.memory_measured else '~'}{entry.memory_mb:,} MB"
