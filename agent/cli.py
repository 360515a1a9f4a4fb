"""The `offhook` command."""

import argparse
import sys
from importlib import import_module
from importlib.metadata import entry_points, version
from pathlib import Path

EXIT_FAULT = 2
"""Exit status where the user's input or machine is at fault; the message says how."""

COMMANDS = (
    "agent.serve_command",
    "agent.doctor",
    "agent.call_command",
    "agent.calls_command",
    "agent.cost_command",
    "agent.budgets_command",
    "agent.records_command",
    "agent.edge_command",
    "models.command",
)

DESCRIPTION = """\
Offhook: one box that answers the phone with an AI, all on this machine.

  offhook demo      loads the models, places one call to itself, shows what happened,
                    then serves the page to talk to it yourself
  offhook serve     opens the doors and answers calls
  offhook doctor    checks this machine, one line each: fine, or what to do
  offhook call      dials a number and lets the agent talk
  offhook calls     what was said, how fast, and what it cost
  offhook cost      what a minute costs, owned and rented, and from when on owning pays
  offhook budgets   what was spent of each budget, and what happens at its limit
  offhook records   hands over or deletes what is kept of a caller; sweeps what is old
  offhook edge      asks the edge in front of several workers; its bans and its users
  offhook models    which models there are, and how to get and choose them
  offhook bench     measures a box from the caller's side of the wire
"""

EPILOG = """\
Settings are read from offhook.toml in this folder (or --config FILE), then from the
environment: OFFHOOK_SERVER__PORT=8080 is `port` in [server]. docs/configuration.md lists them.
`offhook COMMAND --help` says more about a command.
"""


def make_parser() -> argparse.ArgumentParser:
    """The whole command line, with the commands that other packages add."""
    parser = argparse.ArgumentParser(
        prog="offhook",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"offhook {version('offhook')}")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (TOML)")
    parser.add_argument(
        "--log-level",
        default="INFO",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="how much is logged on standard error (default: INFO)",
    )
    parser.add_argument("--log-json", action="store_true", help="log a JSON object a line")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        import_module(module).add_parser(subparsers)
    for entry in sorted(entry_points(group="offhook.commands"), key=lambda entry: entry.name):
        entry.load()(subparsers)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    args = make_parser().parse_args(argv)
    # Imported once the command line is known to be sound: `--help` stays quick.
    from agent.config import ConfigError
    from agent.logs import set_up_logs
    from agent.web.listener import PortInUse
    from models.errors import ModelError
    from telephony.sip_error import SipError

    set_up_logs(args.log_level, args.log_json)
    try:
        status: int = args.func(args)
        return status
    except (ConfigError, ModelError, PortInUse, SipError) as error:
        print(f"offhook: {error}", file=sys.stderr)
        return EXIT_FAULT
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
