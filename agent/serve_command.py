"""`offhook serve`: the command line of the box."""

import argparse
import asyncio
import os
import sys


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook serve`."""
    parser = subparsers.add_parser(
        "serve",
        help="open the doors and answer calls until Ctrl-C",
        description="Loads the models and answers calls until Ctrl-C. Settings come from the "
        "configuration file and the environment; see docs/configuration.md.",
    )
    parser.add_argument("--host", help="address to listen on, over [server] host")
    parser.add_argument("--port", type=int, help="port to listen on, over [server] port")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="run N processes behind an edge and watch over them, over [workers] count; "
        "see docs/edge.md",
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Runs `offhook serve`."""
    environ = dict(os.environ)
    if args.host is not None:
        environ["OFFHOOK_SERVER__HOST"] = args.host
    if args.port is not None:
        environ["OFFHOOK_SERVER__PORT"] = str(args.port)
    if args.workers is not None:
        environ["OFFHOOK_WORKERS__COUNT"] = str(args.workers)
    from agent.config import load_config

    config = load_config(args.config, environ)
    if config.workers.count:
        from agent.supervisor import Supervisor

        supervisor = Supervisor(config, environ, worker_command(args), args.log_json)
        return asyncio.run(supervisor.run())
    # Imported here: Pipecat takes seconds, and `offhook --help` has no need of it.
    from agent.serve import serve

    return asyncio.run(serve(config, environ))


def worker_command(args: argparse.Namespace) -> list[str]:
    """The command line of each worker of this one."""
    command = [sys.executable, "-m", "agent.cli", "--log-level", args.log_level]
    if args.config is not None:
        command += ["--config", str(args.config)]
    if args.log_json:
        command.append("--log-json")
    return [*command, "serve"]
