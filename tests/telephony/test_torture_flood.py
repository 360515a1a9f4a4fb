"""A flood of INVITEs from a source that is not allowed, at the process itself, mid-call."""

import re
import socket
import time
import uuid

from plain_caller import (
    FIRST_TIME,
    Dialog,
    Vitals,
    assert_new_call_is_answered,
    assert_settled,
    offer,
    watched_call,
)
from sip_peers import running

INVITES, SECONDS = 600, 3.0
SOURCE = "127.0.79.1"


def answered(flood: socket.socket) -> list[bytes]:
    """The statuses that have come back."""
    found = []
    while True:
        try:
            found += re.findall(rb"^SIP/2\.0 (\d+)", flood.recv(65536))
        except BlockingIOError:
            return found


def test_a_call_keeps_its_audio_in_a_flood() -> None:
    with running() as door, watched_call(door) as call:
        before = Vitals.of(door.pid)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
            flood.bind((SOURCE, 0))
            flood.setblocking(False)
            began_s, statuses = time.monotonic(), list[bytes]()
            for number in range(INVITES):
                # Every one a caller, a call and a number of its own, as a scanner's are.
                dialog = Dialog(f"refuse-403-{number}", door.port, flood.getsockname()[1], SOURCE)
                invite = dialog.request("INVITE", 1, offer(40_000), f"z9hG4bK{uuid.uuid4().hex}")
                flood.sendto(invite, ("127.0.0.1", door.port))
                statuses += answered(flood)
                if number % 50 == 49:
                    call.check(1)
                time.sleep(max(0.0, began_s + (number + 1) * SECONDS / INVITES - time.monotonic()))
            call.check(10)
            statuses += answered(flood)
        # They were refused, and not merely lost: by far most of them.
        assert statuses.count(b"403") > INVITES // 2
        assert not door.find("over", call="watched")
        call.check_heard()
        assert_new_call_is_answered(door)
        assert_settled(door, before, calls=1, rss_mb=48.0, kept=FIRST_TIME)
