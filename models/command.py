"""``offhook models``: what is known, what is here, fetch one, tune one, make one the default."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

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
from models.tuning import choose, machine_name, save

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
    tune = action("tune", _tune, "measure a language model's weight formats here; choose one")
    tune.add_argument(
        "name",
        nargs="?",
        default="smollm2-135m-instruct",
        metavar="NAME",
        help="a name of the catalogue or a GGUF file (default: the default model)",
    )
    tune.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")


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


def _tune(args: argparse.Namespace, console: Console) -> int:
    # Native code, needed for nothing else here.
    from models.llm.format_speed import measure_formats
    from models.llm.requantise import cache_folder, requantised

    path = locate(args.name, "llm")
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache, prefix=".tuning-") as folder, console.status("") as status:
        measured = measure_formats(
            path, Path(folder), progress=lambda what: status.update(f"{path.name}: {what}")
        )
    tuning = choose(measured, machine_name())
    if tuning.format != "shipped":
        requantised(path, formats=None, target_format=tuning.format)
    where = save(path, tuning)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("format", "prompt tokens/s", "answer tokens/s", "mean NLL", "MB"):
        table.add_column(heading, justify="left" if heading == "format" else "right")
    for one in measured:
        table.add_row(
            one.format + (" *" if one.format == tuning.format else ""),
            f"{one.prompt_tokens_per_s:.0f}",
            f"{one.answer_tokens_per_s:.0f}",
            f"{one.nll:.3f}",
            f"{one.size_mb:.0f}",
        )
    console.print(table)
    told = f"{path.name} on {tuning.machine}: {tuning.format}: {tuning.why}"
    console.print(f"{told}\n{where}", soft_wrap=True, highlight=False, markup=False)
    if args.json:
        args.json.write_text(json.dumps(asdict(tuning), indent=2) + "\n", encoding="utf-8")
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
