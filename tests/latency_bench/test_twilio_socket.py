"""The carrier's WebSocket under TLS, and the bounds of the caller's HTTP."""

import asyncio
import datetime
import ipaddress
import json
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import ServerConnection, serve

from latency_bench import http_post
from latency_bench.recording import CallFailed
from latency_bench.twilio import twilio_socket


def certificate(folder: Path) -> Path:
    """A key and a certificate of 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "agent.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_messages_under_tls_have_the_time_at_which_they_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path)
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(pem)

    async def trusted() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(pem))

    sent_s: list[float] = []

    async def agent(socket: ServerConnection) -> None:
        for number in range(5):
            await socket.send(json.dumps(number))
            sent_s.append(time.monotonic())
        await socket.wait_closed()

    async with serve(agent, "127.0.0.1", 0, ssl=server_tls) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        url = f"wss://127.0.0.1:{port}/"
        with pytest.raises(CallFailed, match="certificate"):
            await asyncio.wait_for(twilio_socket.open_socket(url), 20)
        monkeypatch.setattr(twilio_socket, "tls_context", trusted)
        opened_s = time.monotonic()
        socket = await asyncio.wait_for(twilio_socket.open_socket(url), 20)
        assert socket.stamped is not None
        async with asyncio.timeout(20):
            while len(socket.arrivals_s) < 5:
                await asyncio.sleep(0.01)
            got = [json.loads(await socket.recv()) for _ in range(5)]
            await socket.close()
    assert got == [0, 1, 2, 3, 4]
    arrivals_s = list(socket.arrivals_s)
    assert arrivals_s == sorted(arrivals_s) and opened_s < arrivals_s[0]
    if socket.stamped.kernel:
        assert arrivals_s[-1] <= sent_s[-1] + 0.1


async def test_a_reply_without_end_is_refused() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            for _ in range(100):
                writer.write(bytes(1 << 16))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(CallFailed, match="over 1 MiB"):
            await asyncio.wait_for(http_post.post(url, limit_s=20, headers={}, body={}), 30)


async def test_fastapis_own_words_are_told() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        body = b'{"detail": "one caller is here already"}'
        head = f"HTTP/1.1 400 Bad\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(CallFailed, match="400 one caller is here already") as failure:
            await asyncio.wait_for(http_post.post(url, limit_s=20, headers={}, body={}), 30)
    assert failure.value.outcome == "refused"
