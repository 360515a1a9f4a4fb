"""Malformed SIP, SDP, RTP and RTCP: valid packets, and what a seed makes of them. Pure."""

import random
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from plain_caller import Dialog, offer

LARGEST_DATAGRAM = 65_000


@dataclass(frozen=True, slots=True)
class Malformed:
    """One input."""

    name: str
    data: bytes


# -- SIP

HEADERS = ("Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Contact", "Content-Length")
ODD_VALUES = (
    b"",
    b"\0",
    b"\0" * 40,
    b"\xff\xfe\xc3\x28\xa0\xa1",
    b"-1",
    b"4294967296",
    b"18446744073709551616",
    b"9" * 400,
    b'"' * 99,
    b"<" * 500 + b">" * 500,
    b"(" * 2000,
    b";" * 3000,
    b"," * 3000,
    b"%" * 300,
    b"%00%0d%0a",
    b"sip:",
    b"<sip:@>",
    b"<sip:a@[::1>;tag=",
    b"<sip:a@b:99999999999>;tag=x",
    b"SIP/2.0/UDP",
    b"SIP/2.0/UDP [::ffff:1.2.3.4:5060;branch=;rport=99999999",
    b"SIP/2.0/UDP 127.0.0.1:0;rport;branch=z9hG4bK" + b"a" * 5000,
    b"sips:%s%s%s%n%n%n@127.0.0.1",
    b"A" * 8000,
)
ODD_URIS = (
    b"",
    b"sip:",
    b"sip:@",
    b"sip::::::",
    b"sip:[::1",
    b"sip:a@[fe80::1%25eth0]:5060",
    b"sip:a@127.0.0.1:-1",
    b"sip:a@127.0.0.1:99999999",
    b"tel:" + b"9" * 5000,
    b"sip:" + b"u" * 10_000 + b"@127.0.0.1",
    b"sip:a@127.0.0.1;" + b"p=v;" * 3000,
    b"sip:%00%ff%0d%0aVia:x@127.0.0.1",
    b"sip:a@127.0.0.1?" + b"h=v&" * 2000,
    b"http://127.0.0.1/",
    b"\xf0\x9f\x93\x9e",
    b"* ",
)


def _request(seed: int, method: str = "INVITE", user: str = "refuse-486") -> bytes:
    chance = random.Random(seed)
    dialog = Dialog(user, 5060, 40_000 + chance.randrange(20_000))
    dialog.call_id = f"{seed}-{chance.getrandbits(64):x}"
    dialog.tag = f"{chance.getrandbits(32):x}"
    body = offer(40_000) if method == "INVITE" else b""
    return dialog.request(method, 1, body, f"z9hG4bK{chance.getrandbits(64):x}")


def _with_header(message: bytes, name: str, value: bytes) -> bytes:
    line = f"{name}: ".encode() + value
    return re.sub(rf"^{name}: [^\r\n]*".encode(), lambda _: line, message, flags=re.M)


def sip_messages() -> Iterator[Malformed]:
    """Over a hundred requests and responses, each wrong in its own way."""
    for number, name in enumerate(HEADERS):
        for at, value in enumerate(ODD_VALUES):
            if (number + at) % 3 == 0:  # every value and every header, not every pair
                data = _with_header(_request(1000 + 50 * number + at), name, value)
                yield Malformed(f"{name}-{at}", data)
        without = re.sub(rf"^{name}: .*\r\n".encode(), b"", _request(2000 + number), flags=re.M)
        yield Malformed(f"{name}-missing", without)
        line = re.search(rf"^{name}: .*\r\n".encode(), without + _request(2100 + number), re.M)
        assert line is not None
        twice = _request(2100 + number).replace(b"\r\n\r\n", b"\r\n" + line[0] * 40 + b"\r\n", 1)
        yield Malformed(f"{name}-forty-times", twice)
    for number, uri in enumerate(ODD_URIS):
        data = _request(3000 + number)
        yield Malformed(f"uri-{number}", re.sub(rb"sip:\S+", lambda _, u=uri: u, data, count=1))
    methods = ("BYE", "CANCEL", "ACK", "INFO", "UPDATE", "REFER", "NOTIFY", "PRACK", "SUBSCRIBE")
    for number, method in enumerate(methods):
        yield Malformed(f"stray-{method}", _request(3100 + number, method))
    whole = _request(3200)
    for number, cut in enumerate(range(1, len(whole), len(whole) // 12)):
        yield Malformed(f"truncated-{cut}", _request(3200 + number)[:cut])
    yield from _odd_forms()
    for seed in range(40):
        yield Malformed(f"damaged-{seed}", _damaged(_request(4000 + seed), seed))


def _odd_forms() -> Iterator[Malformed]:
    head, _, body = _request(3300).partition(b"\r\n\r\n")
    forms = {
        "empty": b"",
        "keep-alive": b"\r\n\r\n",
        "nul": b"\0",
        "noise": random.Random(1).randbytes(1400),
        "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "tls": bytes.fromhex("160301020001000001fc0303") + bytes(500),
        "stun": bytes.fromhex("000100002112a442") + bytes(12),
        "only-lf": _request(3301).replace(b"\r\n", b"\n"),
        "only-cr": _request(3302).replace(b"\r\n", b"\r"),
        "no-end-of-headers": _request(3303).partition(b"\r\n\r\n")[0],
        "folded-forever": head + b"\r\nSubject: x" + b"\r\n y" * 8000 + b"\r\n\r\n" + body,
        "thousands-of-headers": head + b"\r\nX: y" * 9000 + b"\r\n\r\n" + body,
        "thousands-of-routes": head + b"\r\nRoute: <sip:a;lr>" * 2500 + b"\r\n\r\n" + body,
        "thousands-of-vias": head + b"\r\nVia: SIP/2.0/UDP h" * 2500 + b"\r\n\r\n" + body,
        "one-huge-header": head + b"\r\nX-Long: " + b"x" * 60_000 + b"\r\n\r\n" + body,
        "huge-method": b"M" * 30_000 + b" sip:a@127.0.0.1 SIP/2.0\r\n\r\n",
        "version-9": _request(3304).replace(b"SIP/2.0\r\n", b"SIP/9.9\r\n", 1),
        "huge-status": b"SIP/2.0 " + b"9" * 5000 + b" No\r\n\r\n",
        "stray-200": b"SIP/2.0 200 OK" + head[head.index(b"\r\n") :] + b"\r\n\r\n" + body,
        "stray-100": b"SIP/2.0 100 " + head[head.index(b"\r\n") :] + b"\r\n\r\n",
        "stray-407": b"SIP/2.0 407 X\r\nProxy-Authenticate: Digest " + b'a="b",' * 4000
        + head[head.index(b"\r\n") :] + b"\r\n\r\n",
        "bad-digest": head + b'\r\nAuthorization: Digest username="' + b"\xff" * 3000 + b"\r\n\r\n",
        "bad-replaces": head + b"\r\nReplaces: ;;;to-tag=\0;from-tag\r\n\r\n" + body,
        "bad-rack": head + b"\r\nRAck: 99999999999 -1 \r\nRequire: 100rel\r\n\r\n" + body,
        "bad-session-timer": head + b"\r\nSession-Expires: -1;refresher=\0\r\n\r\n" + body,
        "multipart-unclosed": head.replace(b"application/sdp", b"multipart/mixed;boundary=x")
        + b"\r\n\r\n--x\r\n\r\n--x" * 300,
    }  # fmt: skip
    for name, data in forms.items():
        yield Malformed(name, data[:LARGEST_DATAGRAM])


def _damaged(data: bytes, seed: int) -> bytes:
    """Bytes changed, taken out, put in and repeated at places that the seed draws."""
    chance = random.Random(seed)
    found = bytearray(data)
    for _ in range(chance.choice((1, 4, 20, 80))):
        at = chance.randrange(len(found))
        what = chance.randrange(4)
        if what == 0:
            found[at] = chance.randrange(256)
        elif what == 1:
            del found[at : at + chance.randrange(1, 30)]
        elif what == 2:
            found[at:at] = chance.randbytes(chance.randrange(1, 20))
        else:
            found[at:at] = found[at : at + chance.randrange(1, 60)]
        if not found:
            return b"\0"
    return bytes(found)


# -- SDP


def offers(rtp_port: int) -> Iterator[Malformed]:
    """Over fifty offers; some can be accepted, with what is odd left out."""
    plain = offer(rtp_port)
    media = f"m=audio {rtp_port} RTP/AVP".encode()
    swaps: tuple[tuple[bytes, bytes], ...] = (
        (b"v=0\r\n", b""),
        (b"v=0", b"v=99999999999"),
        (b"c=IN IP4 127.0.0.1\r\n", b""),
        (b"c=IN IP4 127.0.0.1", b"c=IN IP4 0.0.0.0"),
        (b"c=IN IP4 127.0.0.1", b"c=IN IP4 255.255.255.255"),
        (b"c=IN IP4 127.0.0.1", b"c=IN IP4 999.1.1"),
        (b"c=IN IP4 127.0.0.1", b"c=IN IP6 ::1"),
        (b"c=IN IP4 127.0.0.1", b"c=IN IP4 224.2.1.1/127/3"),
        (b"c=IN IP4 127.0.0.1", b"c=IN IP4 " + b"h" * 3000),
        (b"o=- 7 7 IN IP4 127.0.0.1", b"o="),
        (b"o=- 7 7", b"o=- 99999999999999999999 -1"),
        (b"s=-", b"s=" + b"\xff\0" * 2000),
        (b"t=0 0", b"t=-1 99999999999999999999"),
        (media, b"m=audio 0 RTP/AVP"),
        (media, b"m=audio -1 RTP/AVP"),
        (media, b"m=audio 70000 RTP/AVP"),
        (media, b"m=audio 1 RTP/AVP"),
        (media, f"m=audio {rtp_port}/65535 RTP/AVP".encode()),
        (media, f"m=audio {rtp_port} RTP/SAVPF".encode()),
        (media, f"m=audio {rtp_port} UDP/TLS/RTP/SAVPF".encode()),
        (media, f"m=audio {rtp_port} TCP/MSRP".encode()),
        (media, f"m=video {rtp_port} RTP/AVP".encode()),
        (media, f"m=application {rtp_port} DTLS/SCTP".encode()),
        (b"RTP/AVP 0 101", b"RTP/AVP"),
        (b"RTP/AVP 0 101", b"RTP/AVP 0" + b" 0" * 3000),
        (b"RTP/AVP 0 101", b"RTP/AVP -1 128 255 256 99999"),
        (b"RTP/AVP 0 101", b"RTP/AVP " + b" ".join(b"%d" % n for n in range(128))),
        (b"0 PCMU/8000", b"0 PCMU/0"),
        (b"0 PCMU/8000", b"0 PCMU/4294967295/255"),
        (b"0 PCMU/8000", b"0 PCMU"),
        (b"0 PCMU/8000", b"0 " + b"C" * 3000 + b"/8000"),
        (b"0 PCMU/8000", b"0 PCMA/16000"),
        (b"0 PCMU/8000", b"0 opus/48000/2"),
        (b"0 PCMU/8000", b"0 telephone-event/8000"),
        (b"101 telephone-event/8000", b"101 telephone-event/0"),
        (b"101 telephone-event/8000", b"101 telephone-event/48000"),
        (b"101 0-16", b"101 0-4294967295,-1,," + b"9" * 900),
        (b"a=sendrecv", b"a=sendrecv\r\na=inactive\r\na=sendonly\r\na=recvonly"),
        (b"a=sendrecv", b"a=ptime:0"),
        (b"a=sendrecv", b"a=ptime:-20\r\na=maxptime:0"),
        (b"a=sendrecv", b"a=ptime:1000000"),
        (b"a=sendrecv", b"a=minptime:3\r\na=ptime:1"),
        (b"a=sendrecv", b"a=rtcp:0 IN IP4 256.1.1.1"),
        (b"a=sendrecv", b"a=rtcp-mux\r\na=rtcp:99999999"),
        (b"a=sendrecv", b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + b"A" * 3000),
        (b"a=sendrecv", b"a=crypto:99999 \0 inline:|2^99|1:999"),
        (b"a=sendrecv", b"a=fingerprint:sha-256 " + b"00:" * 900 + b"\r\na=setup:actpass"),
        (b"a=sendrecv", b"a=candidate:1 1 UDP 4294967296 h 99999 typ \0" * 200),
        (b"a=sendrecv", b"a=fmtp:0 " + b"x=" * 4000),
        (b"a=sendrecv", b"a=group:BUNDLE " + b"0 " * 3000),
        (b"a=sendrecv", b"b=AS:-1\r\nk=clear:\0\r\nz=0 -1h"),
    )
    for number, (old, new) in enumerate(swaps):
        assert old in plain, old
        yield Malformed(f"sdp-{number}", plain.replace(old, new, 1))
    lines = plain.split(b"\r\n", 5)
    yield Malformed(
        "sdp-five-hundred-media", plain + media.replace(b"audio", b"x") + b" 0\r\n" * 500
    )
    yield Malformed("sdp-fifty-audio", plain + (media + b" 0\r\na=rtpmap:0 PCMU/8000\r\n") * 50)
    yield Malformed("sdp-sixty-kilobytes", plain + b"a=x:" + b"y" * 58_000 + b"\r\n")
    yield Malformed("sdp-thousands-of-attributes", plain + b"a=x\r\n" * 10_000)
    yield Malformed("sdp-backwards", b"\r\n".join(reversed(lines)))
    yield Malformed("sdp-only-nul", b"\0" * 1000)
    for seed in range(20):
        yield Malformed(f"sdp-damaged-{seed}", _damaged(plain, 500 + seed))


# -- RTP and RTCP


def rtp_packets(payload_type: int, event_type: int, event_count: int = 60) -> Iterator[Malformed]:
    """Packets for the RTP port of a call with these payload types."""
    chance = random.Random(7)

    def rtp(first: int, second: int, rest: bytes = b"", sequence: int | None = None) -> bytes:
        number = chance.randrange(1 << 16) if sequence is None else sequence
        return struct.pack(
            "!BBHII", first, second, number, chance.getrandbits(32), chance.getrandbits(32)
        ) + rest  # fmt: skip

    for length in range(0, 13):
        yield Malformed(f"rtp-short-{length}", rtp(0x80, payload_type)[:length])
    for version in range(4):
        yield Malformed(f"rtp-version-{version}", rtp(version << 6, payload_type, bytes(160)))
    for count in (1, 7, 15):
        yield Malformed(f"rtp-{count}-sources-missing", rtp(0x80 | count, payload_type))
        yield Malformed(f"rtp-{count}-sources", rtp(0x80 | count, payload_type, bytes(170)))
    for length in (0, 1, 40, 0x7FFF, 0xFFFF):
        extension = struct.pack("!HH", 0xBEDE, length)
        yield Malformed(f"rtp-extension-{length}", rtp(0x90, payload_type, extension + bytes(40)))
    ids = b"\xbe\xde\x00\x04" + bytes(range(0xF0, 0x100))
    yield Malformed("rtp-extension-elements", rtp(0x90, payload_type, ids + bytes(160)))
    for padding in (0, 1, 161, 255):
        data = rtp(0xA0, payload_type, bytes(159) + bytes([padding]))
        yield Malformed(f"rtp-padding-{padding}", data)
    for odd_type in (*range(1, 127, 18), 127):
        yield Malformed(f"rtp-type-{odd_type}", rtp(0x80, odd_type, bytes(160)))
    for size in (1, 159, 161, 1460, 9000, 64_000):
        yield Malformed(f"rtp-size-{size}", rtp(0x80, payload_type, chance.randbytes(size)))
    for number in (0, 1, 0x7FFF, 0x8000, 0xFFFF):
        data = rtp(0x80, payload_type, bytes(160), number)
        yield Malformed(f"rtp-sequence-{number}", data)
    for number in range(event_count):
        event = struct.pack("!BBH", chance.randrange(256), chance.randrange(256),
                            chance.choice((0, 1, 0x7FFF, 0xFFFF)))  # fmt: skip
        data = rtp(0x80, event_type, event * chance.choice((0, 1, 1, 5, 300)))
        yield Malformed(f"rtp-event-{number}", data[: 12 + chance.choice((3, 4, 4, 400))])
    for seed in range(20):
        data = rtp(0x80, payload_type, bytes(160))
        yield Malformed(f"rtp-damaged-{seed}", _damaged(data, 900 + seed))
    for number in range(10):
        yield Malformed(f"rtp-noise-{number}", chance.randbytes(chance.randrange(1, 400)))


def rtcp_packets() -> Iterator[Malformed]:
    """Packets for the RTCP port."""
    chance = random.Random(11)
    for kind in range(192, 224):
        for count, words in ((0, 0), (1, 1), (31, 6), (31, 0xFFFF)):
            head = struct.pack("!BBH", 0x80 | count, kind, words)
            data = head + chance.randbytes(min(24, 4 * words))
            yield Malformed(f"rtcp-{kind}-{count}-{words}", data)
    report = struct.pack("!BBHI", 0x80, 201, 1, 7)
    yield Malformed("rtcp-compound-deep", report * 500)
    yield Malformed("rtcp-compound-garbage", report + chance.randbytes(300))
    item = struct.pack("!BBHI", 0x81, 202, 3, 7) + b"\x01\xff" + b"x" * 6
    yield Malformed("rtcp-sdes-beyond-its-end", item)
    yield Malformed("rtcp-bye-long-reason", struct.pack("!BBHI", 0x81, 203, 2, 7) + b"\xffbye")
    for seed in range(10):
        yield Malformed(f"rtcp-damaged-{seed}", _damaged(report * 3, 700 + seed))
