"""`offhook call`: has the running box dial somebody, and tells what came of it."""

import argparse
import json
import logging
import math
import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TextIO

DESCRIPTION = """\
Has the box that `offhook serve` runs call TARGET: a number through a trunk (+15551234567), or
straight a SIP address (sip:joe@127.0.0.1:5080). Tells what came of it, and leaves the agent to
talk; `offhook calls` shows the record. Ctrl-C gives up a call that still rings.

Exit status: 0 answered, 1 not answered (busy, no answer, rejected or failed), 2 not placed.
"""

POLL_S = 0.25
REPLY_LIMIT_S = 10.0
SPARE_S = 20.0
"""Beyond its time to ring, a call is decided by then, or the box has gone."""
ANSWERED, NOT_ANSWERED, NOT_PLACED = 0, 1, 2


class NotPlaced(Exception):
    """The box did not place the call, or could not be asked; the message says why."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook call`."""
    parser = subparsers.add_parser(
        "call",
        help="have the running box dial a number",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", metavar="TARGET", help="a number, or a SIP address")
    parser.add_argument("--trunk", default="", help="the trunk to dial through")
    parser.add_argument("--profile", default="", help="who speaks: a name of [profiles.NAME]")
    parser.add_argument("--caller-id", default="", metavar="NUMBER", help="the number to show")
    parser.add_argument(
        "--ring", type=_seconds, default=30.0, metavar="SECONDS", help="how long (default: 30)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the result there (-: to the output)")
    parser.set_defaults(func=run)


def _seconds(text: str) -> float:
    """A positive, finite number of seconds; the box knows how many it allows."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds over 0")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Places the call; returns the exit status."""
    from agent.config import load_config

    config = load_config(getattr(args, "config", None), os.environ)
    token = config.server.token.get_secret_value() if config.server.token else ""
    fields = {
        "to": args.target,
        "trunk": args.trunk,
        "profile": args.profile,
        "caller_id": args.caller_id,
        "answer_limit_s": args.ring,
    }
    try:
        with ExitStack() as opened:
            result = _open(args.json, opened)
            box = opened.enter_context(BoxClient(config.server.host, config.server.port, token))
            call = _follow(box, box.request("POST", "/v1/calls", fields), args.ring)
            if result is not None:
                result.write(json.dumps(call, indent=2) + "\n")
    except NotPlaced as error:
        print(f"offhook: {error}", file=sys.stderr)
        return NOT_PLACED
    if result is not sys.stdout:
        reason = f": {call['reason']}" if call["outcome"] != "answered" and call["reason"] else ""
        print(f"{call['outcome']}{reason}")
    return ANSWERED if call["outcome"] == "answered" else NOT_ANSWERED


class BoxClient:
    """Speaks HTTP with the running box. A context manager; its errors are NotPlaced."""

    def __init__(self, host: str, port: int, token: str) -> None:
        # Takes a while to import, which `offhook --help` need not wait for.
        import httpx2

        # Each request is a line of its own otherwise.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self.url = f"http://{f'[{name}]' if ':' in name else name}:{port}"
        self._error = httpx2.HTTPError
        self._http = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=REPLY_LIMIT_S,
            # A proxy has nothing to do with this machine's own box.
            trust_env=False,
        )

    def __enter__(self) -> "BoxClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def request(
        self, method: str, path: str, fields: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """One request's JSON."""
        try:
            response = self._http.request(method, path, json=fields)
        except self._error as error:
            raise NotPlaced(
                f"no box answers at {self.url} ({error}); start one with `offhook serve`, with "
                "the same settings"
            ) from error
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise NotPlaced(f"what answers at {self.url} is no Offhook box")
        if response.is_error:
            raise NotPlaced(str(body.get("error", f"the box says {response.status_code}")))
        return body


def _follow(box: BoxClient, call: dict[str, Any], ring_s: float) -> dict[str, Any]:
    """Waits until it is decided; an interrupt gives the call up."""
    over = f" over {call['trunk']}" if call["trunk"] else ""
    path = f"/v1/calls/{call['call_id']}"
    deadline_s = time.monotonic() + ring_s + SPARE_S
    try:
        print(f"call {call['call_id']}: dialling {call['to']}{over}", file=sys.stderr)
        while call["outcome"] is None:
            if time.monotonic() > deadline_s:
                raise NotPlaced(f"the box does not say what became of call {call['call_id']}")
            time.sleep(POLL_S)
            call = box.request("GET", path)
    except KeyboardInterrupt:
        with suppress(NotPlaced):
            box.request("DELETE", path)
        raise
    return call


def _open(path: str | None, opened: ExitStack) -> TextIO | None:
    """Where the result goes; opened before anybody is called."""
    if path in (None, "-"):
        return None if path is None else sys.stdout
    try:
        return opened.enter_context(Path(str(path)).open("w", encoding="utf-8"))
    except OSError as error:
        raise NotPlaced(f"{path}: cannot be written: {error.strerror}") from error
