"""RFC 4475's messages as they are on the wire, from torture/rfc4475.txt."""

import re
from dataclasses import dataclass
from pathlib import Path

HEX = re.compile(rb"<hex>([0-9A-F]*)</hex>")
REPEAT = re.compile(rb"<repeat count=(\d+)>(.*?)</repeat>")


@dataclass(frozen=True, slots=True)
class Torture:
    """One message."""

    section: str
    name: str
    data: bytes

    @property
    def said_length(self) -> bytes | None:
        """What its first Content-Length says; None where it has none."""
        found = re.search(rb"^(?:Content-Length|l) *: *(\S+)\r$", self.data, re.M | re.I)
        return found[1] if found else None

    @property
    def body(self) -> bytes:
        """What follows the first empty line."""
        return self.data.partition(b"\r\n\r\n")[2]

    def acceptable(self, number: int) -> bytes:
        """With an offer of as many bytes that a door on loopback can accept: the RFC's own has
        media in 192.0.2.0/24, and an rtpmap without its clock rate (RFC 4566, section 6).

        Most messages share one branch, and would be taken for each other's retransmissions, or
        for copies of one request: ``number`` makes another branch and Call-ID.
        """
        data = self.data.replace(b"IN IP4 192.0.2.", b"IN IP4 127.0.0.")
        data = data.replace(b"a=rtpmap:31 LPC", b"a=unheard:31LPC")
        data = data.replace(b"z9hG4bKkdjuw", b"z9hG4bK%05d" % number)
        return re.sub(rb"^((?:Call-ID|i) *: *)", rb"\g<1>%d-" % number, data, flags=re.M | re.I)


def _read() -> tuple[Torture, ...]:
    text = (Path(__file__).parent / "torture" / "rfc4475.txt").read_bytes()
    _, *parts = re.split(rb"^=== (\S+) (\S+)\n", text, flags=re.M)
    found = []
    for section, name, written in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        data = written.replace(b"\n", b"\r\n")
        data = REPEAT.sub(lambda said: int(said[1]) * said[2], data)
        data = HEX.sub(lambda said: bytes.fromhex(said[1].decode()), data)
        found.append(Torture(section.decode(), name.decode(), data))
    return tuple(found)


MESSAGES = _read()
