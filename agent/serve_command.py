"""`offhook serve`: the command line of the box."""

import argparse
import asyncio
import os


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
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Runs `offhook serve`."""
    environ = dict(os.environ)
    if args.host is not None:
        environ["OFFHOOK_SERVER__HOST"] = args.host
    if args.port is not None:
        environ["OFFHOOK_SERVER__PORT"] = str(args.port)
    # Imported here: Pipecat takes seconds, and `offhook --help` has no need of it.

    from agent.config import load_config
    from agent.serve import serve

    return asyncio.run(serve(load_config(args.config, environ), environ))
