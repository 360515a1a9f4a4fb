"""The kernel's clock on real sockets: what lay unread was not late."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from latency_bench.stamped_socket import StampedSocket, monotonic_of, stamp_transport

LAY_S = 0.2


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        yield one, two


def test_a_datagram_that_lay_unread_has_the_time_it_came(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    reader, writer = pair
    seen: list[tuple[bytes, float]] = []
    stamped = StampedSocket(reader, arrived=lambda data, at_s: seen.append((data, at_s)))
    if not stamped.kernel:
        pytest.skip("this system's kernel stamps nothing")
    # The first packets after the stamps were asked for may have none.
    time.sleep(0.05)
    before_s = time.monotonic()
    writer.sendto(b"hello", reader.getsockname())
    after_s = time.monotonic()
    time.sleep(LAY_S)
    data, address = stamped.recvfrom(100)
    assert (data, address) == (b"hello", writer.getsockname())
    ((same, at_s),) = seen
    assert same == b"hello" and before_s - 0.001 <= at_s <= after_s + LAY_S / 2


def test_what_is_sent_is_stamped_before_it_goes(pair: tuple[socket.socket, socket.socket]) -> None:
    reader, writer = pair
    left: list[float] = []
    stamped = StampedSocket(writer, departed=lambda _, at_s: left.append(at_s))
    before_s = time.monotonic()
    assert stamped.sendto(b"hello", reader.getsockname()) == 5
    assert before_s <= left[0] <= time.monotonic() and reader.recv(100) == b"hello"
    assert stamped.fileno() == writer.fileno()


def test_a_clock_that_was_set_meanwhile_is_not_believed() -> None:
    second = 10**9
    assert monotonic_of(99 * second, 100 * second, 50 * second) == 49.0
    assert monotonic_of(101 * second, 100 * second, 50 * second) == 50.0
    assert monotonic_of(1 * second, 100 * second, 50 * second) == 50.0


async def test_connections_and_datagrams_of_asyncio_are_stamped_alike() -> None:
    got = asyncio.Event()

    class Reader(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            got.set()

    loop = asyncio.get_running_loop()
    servers: list[asyncio.StreamWriter] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        servers.append(writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        transport, _ = await loop.create_connection(Reader, "127.0.0.1", port)
        stamped = stamp_transport(transport)
        assert stamped is not None and stamp_transport(transport) is None
        while not servers:
            await asyncio.sleep(0.01)
        before_s = time.monotonic()
        servers[0].write(b"hello")
        await asyncio.wait_for(got.wait(), 5)
        assert before_s - 0.001 <= stamped.last_arrival_s <= time.monotonic()
        transport.close()
        servers[0].close()
        await servers[0].wait_closed()


def test_a_transport_of_another_kind_is_left_alone() -> None:
    assert stamp_transport(None) is None
    assert stamp_transport(asyncio.BaseTransport()) is None
