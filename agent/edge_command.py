"""`offhook edge`: asks a running edge how it is, and tells it what changed."""

import argparse
import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path

from agent.sections import ConfigError
from telephony.edge.control import EdgeControl, EdgeRefused, EdgeUnreachable
from telephony.edge.credentials import TABLE, set_user, without_user, write_table

FLAGS = {"A": "takes calls", "I": "does not answer", "T": "on trial", "D": "takes no new calls"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook edge`."""
    parser = subparsers.add_parser(
        "edge",
        help="asks the edge in front of several workers; its bans and its users",
        description="Speaks to the edge whose folder is `edge` in [workers]; docs/edge.md.",
    )
    parser.add_argument("--folder", type=Path, help="the edge's folder, over [workers] edge")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _action(actions, "status", _status, "its workers, its calls, its bans")
    _action(actions, "bans", _bans, "banned addresses, and why")
    _action(actions, "unban", _unban, "lift the ban of an address").add_argument("address")
    _action(actions, "reload", _reload, "read dispatcher.list, addresses.list and users again")
    user = _action(actions, "user", _user, "give a user a password, asked for or read from stdin")
    user.add_argument("name")
    user.add_argument("--realm", default="offhook", help="EDGE_REALM (default: offhook)")
    user.add_argument("--remove", action="store_true", help="the user may no longer call")


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    do: Callable[[Path, argparse.Namespace], None],
    text: str,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text)
    parser.set_defaults(func=run, do=do)
    return parser


def run(args: argparse.Namespace) -> int:
    """Runs one action; 1 where the edge does not answer, or refuses."""
    try:
        args.do(_folder(args), args)
    except (EdgeUnreachable, EdgeRefused, OSError, ValueError) as error:
        print(f"offhook: {error}", file=sys.stderr)
        return 1
    return 0


def _folder(args: argparse.Namespace) -> Path:
    from agent.config import load_config

    given: Path | None = args.folder or load_config(args.config, os.environ).workers.edge
    if given is None:
        raise ConfigError(
            "which edge? name its folder as `edge` in [workers], or with --folder; docs/edge.md"
        )
    return given.expanduser()


def _status(folder: Path, args: argparse.Namespace) -> None:
    control = EdgeControl(folder)
    for uri, flags in sorted(control.workers().items()):
        print(f"{uri}  {FLAGS.get(flags[:1], flags)}")
    print(f"calls under way: {control.active_calls()}")
    print(f"bans: {len(control.bans())}")


def _bans(folder: Path, args: argparse.Namespace) -> None:
    for address, why in sorted(EdgeControl(folder).bans().items()):
        # A scanner chose these words.
        print(f"{address}  {''.join(c if c.isprintable() else '?' for c in why)}")


def _unban(folder: Path, args: argparse.Namespace) -> None:
    EdgeControl(folder).unban(args.address)


def _reload(folder: Path, args: argparse.Namespace) -> None:
    control = EdgeControl(folder)
    control.reload_workers()
    control.reload_addresses()
    control.reload_credentials()


def _user(folder: Path, args: argparse.Namespace) -> None:
    table = (folder / TABLE).read_text()
    if args.remove:
        write_table(folder, without_user(table, args.name))
    else:
        password = _password(args.name)
        write_table(folder, set_user(table, args.name, args.realm, password))
    try:
        EdgeControl(folder).reload_credentials()
    except EdgeUnreachable:
        print("written; the edge is not running, and reads it when it starts")


def _password(user: str) -> str:
    if sys.stdin.isatty():
        password = getpass.getpass(f"password of {user}: ")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise ValueError("the password is empty; nothing is changed")
    return password
