"""`offhook records`: hands over, or deletes, what is kept of a caller; sweeps what is old."""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.records.erasure import Erased, Kept
    from agent.records.source import Source
    from agent.sections import RecordsConfig

DESCRIPTION = """\
What is kept of calls, as those who were on the line may ask for it (docs/privacy.md):

  offhook records export --caller +15551234567 --out FOLDER   records as JSON lines, and the sound
  offhook records delete --caller +15551234567 --yes          all of it, for good
  offhook records sweep                                       what is older than `keep_days`

A telephone number is found however it is written. The box may run meanwhile; a call that is under
way is left, and said so.
"""

SHOWN = 10
"""Calls that are named before they are deleted."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """Where the records are, and whose are meant."""

    config: "RecordsConfig"
    source: "Source"
    args: argparse.Namespace

    @property
    def whose(self) -> str:
        """As messages name them."""
        caller: str | None = self.args.caller
        return f"call {self.args.call}" if caller is None else f"caller {caller!r}"

    def kept(self) -> "list[Kept]":
        """Their calls. Raises StoreError."""
        from agent.records.erasure import kept_named, kept_of_caller, with_sound

        if self.args.caller is None:
            kept = kept_named(self.source, [self.args.call])
        else:
            kept = kept_of_caller(self.source, self.args.caller)
        return with_sound(kept, self.config.audio)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to `offhook`."""
    parser = subparsers.add_parser(
        "records",
        help="hands over or deletes what is kept of a caller; sweeps what is old",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    export = _action(actions, "export", _export, "writes a caller's calls into a folder")
    export.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="a new or empty folder"
    )
    remove = _action(actions, "delete", _delete, "deletes a caller's calls: records and sound")
    remove.add_argument("--yes", action="store_true", help="without it, says what would be deleted")
    for action in (export, remove):
        whose = action.add_mutually_exclusive_group(required=True)
        whose.add_argument(
            "--caller", metavar="NUMBER", help="as `offhook calls` shows it, or the number alone"
        )
        whose.add_argument("--call", metavar="CALL_ID", help="one call, by its whole name")
    sweep = _action(actions, "sweep", _sweep, "deletes calls that are older than they may be")
    sweep.add_argument(
        "--days",
        type=_days,
        metavar="N",
        help="older than so many days (default: `keep_days` in [records])",
    )
    sweep.add_argument("--dry-run", action="store_true", help="says what would be deleted")


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    do: Callable[[_Asked], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.set_defaults(func=run, do=do)
    return parser


def run(args: argparse.Namespace) -> int:
    """Does what was asked for; 1 where there is nothing, or some of it could not be done."""
    # Imported when it runs: the database takes a moment to load.
    from agent.config import load_config
    from agent.records.schema import StoreError
    from agent.records.source import records_source

    config = load_config(getattr(args, "config", None), os.environ).records
    try:
        status: int = args.do(_Asked(config, records_source(config, os.environ), args))
    except StoreError as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"offhook: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return status


def _export(asked: _Asked) -> int:
    from agent.records.export import export

    kept = asked.kept()
    if not kept:
        return _nobody(asked)
    done = export(asked.source, kept, asked.args.out)
    print(f"{asked.args.out}: {_count(done.calls, 'call')}, {_count(done.recordings, 'recording')}")
    for path in done.missing:
        print(f"offhook: {path}: this recording is not there any more", file=sys.stderr)
    waits = _warn_of_the_rest(asked, kept)
    return 1 if waits else 0


def _delete(asked: _Asked) -> int:
    from agent.records.erasure import erase

    kept = asked.kept()
    if not kept:
        return 1 if _warn_of_the_rest(asked, kept) else _nobody(asked)
    if not asked.args.yes:
        print(f"{asked.whose}: {_count(len(kept), 'call')} would be deleted:")
        for call in kept[:SHOWN]:
            sound = f", {call.recording}" if call.recording else ""
            print(f"  {call.call_id}{sound}{'' if call.over else ' (under way: it would stay)'}")
        if len(kept) > SHOWN:
            print(f"  and {len(kept) - SHOWN} more")
        print("Nothing was deleted; --yes deletes them.")
        return 0
    erased = erase(asked.source, kept)
    print(
        f"{asked.whose}: {_count(erased.calls, 'call')} and "
        f"{_count(erased.recordings, 'recording')} deleted"
    )
    waits = _warn_of_the_rest(asked, kept)
    return 1 if _tell_what_stayed(erased) or waits else 0


def _sweep(asked: _Asked) -> int:
    from agent.records.erasure import kept_before
    from agent.records.retention import old_files, sweep

    days = asked.args.days or asked.config.keep_days
    if days is None:
        print(
            "offhook: `keep_days` in [records] is not set, so calls are kept for ever; set it, "
            "or give --days",
            file=sys.stderr,
        )
        return 2
    before = datetime.now(UTC) - timedelta(days=days)
    if asked.args.dry_run:
        calls = sum(kept.over for kept in kept_before(asked.source, before))
        files = len(old_files(asked.source, asked.config.audio, before))
        print(f"{_count(calls, 'call')} and {_count(files, 'other file')} would be deleted")
        return 0
    swept = sweep(asked.source, asked.config.audio, before)
    print(
        f"{_count(swept.erased.calls, 'call')}, {_count(swept.erased.recordings, 'recording')} "
        f"and {_count(len(swept.files), 'other file')} deleted"
    )
    return 1 if _tell_what_stayed(swept.erased) else 0


def _nobody(asked: _Asked) -> int:
    print(f"offhook: {asked.source}: nothing is kept of {asked.whose}", file=sys.stderr)
    return 1


def _tell_what_stayed(erased: "Erased") -> bool:
    """Says what could not be deleted, and what to do; whether there is such."""
    for call_id in erased.under_way:
        print(f"offhook: call {call_id} is under way, and stays: try again later", file=sys.stderr)
    for why in erased.stuck:
        print(f"offhook: {why}; its call stays: try again once that can be", file=sys.stderr)
    if not erased.wiped:
        print(
            "offhook: somebody reads the records, so traces of what was deleted stay on the disk "
            "for now; `offhook records sweep`, or the next deletion, takes them away",
            file=sys.stderr,
        )
    return bool(erased.under_way or erased.stuck or not erased.wiped)


def _warn_of_the_rest(asked: _Asked, kept: "list[Kept]") -> bool:
    """Says where else the caller's calls are; whether there are any for certain."""
    from agent.records.erasure import damaged_copies, waiting_with

    waiting = waiting_with(asked.source, asked.args.caller, kept)
    for path in waiting:
        print(
            f"offhook: {path}: records of {asked.whose} wait there to be written; try again once "
            "the box has written them",
            file=sys.stderr,
        )
    for path in damaged_copies(asked.source):
        print(
            f"offhook: {path}: a copy of records that were damaged, which may hold calls of "
            f"{asked.whose}; delete it unless it is needed",
            file=sys.stderr,
        )
    return bool(waiting)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= 36500:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days: write 30, or 0.5")
    return days
