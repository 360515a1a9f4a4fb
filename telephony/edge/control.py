"""Speaking to a running edge: JSON-RPC over the Unix socket in its folder.

Blocking, with a limit on each exchange. The edge (Kamailio's ``jsonrpcs``) and its operator
are users of the same folder, and nobody else can write to the socket.
"""

import itertools
import json
import os
import socket
from pathlib import Path
from typing import Any

SOCKET = "control.sock"
LIMIT_S = 2.0
LARGEST_BYTES = 1 << 20
CALL_LIMIT = 10_000
"""How many calls of one worker are ended at most."""

NOT_FOUND = 404
ANSWERED = (3, 4)
"""Kamailio's states of a call: waiting for ACK, and confirmed."""

_numbers = itertools.count(1)


class EdgeUnreachable(Exception):
    """No edge answers in that folder."""


class EdgeRefused(Exception):
    """The edge answered with an error; ``code`` is Kamailio's."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        super().__init__(f"the edge refuses {method}: {error.get('message')}")
        self.code = int(error.get("code", 0))


class EdgeControl:
    """Commands to the edge whose folder is ``folder``. Any thread; all block up to ``limit_s``.

    Every method raises EdgeUnreachable or EdgeRefused.
    """

    def __init__(self, folder: Path, limit_s: float = LIMIT_S) -> None:
        self._folder = folder
        self._limit_s = limit_s

    def reload_workers(self) -> None:
        """Has the edge read ``dispatcher.list`` again; calls under way are not touched."""
        self._ask("dispatcher.reload")

    def workers(self) -> dict[str, str]:
        """The workers' SIP URIs and Kamailio's flags for each.

        First letter: ``A`` active, ``I`` inactive, ``T`` on trial, ``D`` disabled; then ``P``
        where it is probed.
        """
        try:
            found = self._ask("dispatcher.list")
        except EdgeRefused:
            # Kamailio has no empty list, but an error for it.
            return {}
        destinations = (
            target["DEST"]
            for record in found["RECORDS"]
            for target in _listed(record["SET"]["TARGETS"])
        )
        return {each["URI"]: each["FLAGS"] for each in destinations}

    def bans(self) -> dict[str, str]:
        """Banned source addresses, and why."""
        rows = self._ask("htable.dump", "bans")
        return {str(slot["name"]): str(slot["value"]) for row in rows for slot in row["slot"]}

    def unban(self, address: str) -> None:
        """Lifts a ban."""
        self._ask("htable.delete", "bans", address)

    def reload_credentials(self) -> None:
        """Has the edge read ``db/credentials`` again."""
        self._ask("htable.reload", "credentials")

    def reload_addresses(self) -> None:
        """Has the edge read ``addresses.list`` again."""
        self._ask("permissions.addressReload")

    def active_calls(self) -> int:
        """Calls under way through the edge."""
        return int(self._ask("dlg.stats_active")["all"])

    def end_calls(self, worker: str) -> int:
        """Hangs up on both sides of every call of ``worker``, a SIP URI; returns how many.

        Those not answered yet are left alone: the edge passes them on to another one.
        """
        calls = self._ask("dlg.profile_list", "worker", worker)
        found = [call for call in _listed(calls) if call["state"] in ANSWERED][:CALL_LIMIT]
        ended = 0
        for call in found:
            try:
                self._ask("dlg.end_dlg", call["h_entry"], call["h_id"])
            except EdgeRefused as refusal:
                # One that ended by itself in between.
                if refusal.code != NOT_FOUND:
                    raise
            else:
                ended += 1
        return ended

    def _ask(self, method: str, *params: str | int) -> Any:
        number = next(_numbers)
        request = {"jsonrpc": "2.0", "method": method, "params": list(params), "id": number}
        own = self._folder / f"asking.{os.getpid()}.{number}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.settimeout(self._limit_s)
            try:
                line.bind(str(own))
                line.sendto(json.dumps(request).encode(), str(self._folder / SOCKET))
                answer = json.loads(line.recv(LARGEST_BYTES))
            except (OSError, ValueError) as error:
                raise EdgeUnreachable(
                    f"no edge answers at {self._folder / SOCKET}: {error}; start Kamailio with "
                    f"EDGE_FOLDER={self._folder}"
                ) from error
            finally:
                own.unlink(missing_ok=True)
        if "error" in answer:
            raise EdgeRefused(method, answer["error"])
        return answer.get("result")


def _listed(value: Any) -> list[Any]:
    """Kamailio writes one item as an object and several as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
