"""Calls through the edge: real Kamailio and rtpengine on loopback, small peers around them."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from edge_peer import PeerCall, Refused, SipPeer
from edge_processes import PASSWORD, Edge, needs_edge, running_edge, running_worker, until

pytestmark = needs_edge

TRUNK = "127.0.0.21"
AGENT = "sip:agent@offhook"
FRAMES = 50


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("edge") / "edge"
    with running_edge(folder, {"alice": PASSWORD, "bob": PASSWORD}, (TRUNK,)) as running:
        yield running


@asynccontextmanager
async def peer(
    host: str, proxy: tuple[str, int], user: str, port: int = 0
) -> AsyncIterator[SipPeer]:
    opened = await SipPeer.open(host, proxy, user, port)
    try:
        yield opened
    finally:
        opened.close()


@asynccontextmanager
async def workers(edge: Edge, count: int = 1) -> AsyncIterator[list[SipPeer]]:
    """Workers in this process, which take calls."""
    opened = []
    try:
        for port in edge.worker_ports[:count]:
            opened.append(await SipPeer.open("127.0.0.1", edge.internal, "agent", port))
        await take_calls(edge, *(each.port for each in opened))
        yield opened
    finally:
        for each in opened:
            each.close()


async def take_calls(edge: Edge, *ports: int) -> None:
    await asyncio.to_thread(edge.set_workers, *ports)
    await settle(edge, set(ports))


async def settle(edge: Edge, ports: set[int]) -> None:
    await asyncio.to_thread(until, lambda: edge.active() == ports, f"workers {ports} take calls")


async def hear_back(edge: Edge, call: PeerCall) -> None:
    """Media in both directions, by way of rtpengine's ports alone."""
    before = call.media.received
    await call.media.send(FRAMES)
    await heard(call, before + FRAMES * 0.9)
    assert call.media.sources
    assert all(edge.rtp_from <= port <= edge.rtp_to for _, port in call.media.sources)


async def heard(call: PeerCall, packets: float, limit_s: float = 10) -> None:
    async with asyncio.timeout(limit_s):
        while call.media.received < packets:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("password", ["wrong", PASSWORD])
async def test_a_phone_registers_with_its_password_only(edge: Edge, password: str) -> None:
    async with peer("127.0.0.31", edge.address, "alice") as phone:
        reply = await phone.register("alice", password, "offhook")
    assert reply.status == (200 if password == PASSWORD else 401)


async def test_a_phone_talks_to_a_worker_through_the_edge(edge: Edge) -> None:
    async with workers(edge) as (worker,), peer("127.0.0.31", edge.address, "alice") as phone:
        call = await phone.call(AGENT, PASSWORD)
        await hear_back(edge, call)
        (inner,) = worker.calls.values()
        assert all(edge.rtp_from <= port <= edge.rtp_to for _, port in inner.media.sources)
        assert call.invite is not None and inner.invite is not None
        assert not inner.invite.get("proxy-authorization"), "the password's digest went on"
        # What the caller sees names neither a worker nor the way to it.
        told = [text for name, text in call.invite.headers if name != "user-agent"]
        shown = "\n".join([*told, call.invite.body])
        assert str(worker.port) not in shown and str(edge.internal_port) not in shown
        await call.hang_up()
        async with asyncio.timeout(5):
            await inner.ended.wait()
    assert edge.control.active_calls() == 0


async def test_a_worker_hangs_up(edge: Edge) -> None:
    async with workers(edge) as (worker,), peer("127.0.0.31", edge.address, "alice") as phone:
        call = await phone.call(AGENT, PASSWORD)
        (inner,) = worker.calls.values()
        inner.peer.proxy = edge.internal
        await inner.hang_up()
        async with asyncio.timeout(5):
            await call.ended.wait()


async def test_a_call_without_a_password_reaches_nobody(edge: Edge) -> None:
    async with workers(edge) as (worker,), peer("127.0.0.32", edge.address, "alice") as phone:
        with pytest.raises(Refused) as refusal:
            await phone.call(AGENT)
        assert refusal.value.status == 407
        with pytest.raises(Refused):
            await phone.call(AGENT, "wrong")
        assert worker.answered == 0


async def test_a_trunk_is_known_by_its_address(edge: Edge) -> None:
    async with workers(edge), peer(TRUNK, edge.address, "+15550100") as trunk:
        call = await trunk.call("sip:+15550199@offhook")
        await hear_back(edge, call)
        await call.hang_up()


async def test_a_worker_calls_a_registered_phone(edge: Edge) -> None:
    async with workers(edge) as (worker,), peer("127.0.0.33", edge.address, "bob") as phone:
        assert (await phone.register("bob", PASSWORD, "offhook")).status == 200
        call = await worker.call("sip:bob@offhook")
        await hear_back(edge, call)
        (far,) = phone.calls.values()
        assert far.invite is not None
        assert str(worker.port) not in far.invite.to_bytes().decode()
        await call.hang_up()
        with pytest.raises(Refused) as refusal:
            await worker.call("sip:nobody@offhook")
        assert refusal.value.status == 404


async def test_a_worker_calls_out_over_a_trunk(edge: Edge) -> None:
    """A dead trunk is passed over; the call leaves by the public socket."""
    async with workers(edge) as (worker,), peer(TRUNK, edge.address, "carrier") as trunk:
        dead = f"{TRUNK}:{edge.worker_ports[-1]}"
        await asyncio.to_thread(edge.set_trunks, dead, f"{TRUNK}:{trunk.port}")
        call = await worker.call(f"sip:+15550123@127.0.0.1:{edge.internal_port}")
        await hear_back(edge, call)
        (far,) = trunk.calls.values()
        assert far.invite is not None
        assert far.invite.start == f"INVITE sip:+15550123@{TRUNK}:{trunk.port} SIP/2.0"
        assert f"127.0.0.1:{edge.port}" in far.invite.get("via")
        await call.hang_up()
        async with asyncio.timeout(5):
            await far.ended.wait()
        await asyncio.to_thread(edge.set_trunks)
        # The supervisor's word about the workers leaves the trunks alone, and the reverse.
        assert edge.active() == {worker.port}


async def test_a_worker_calls_a_host_that_it_names(edge: Edge) -> None:
    async with workers(edge) as (worker,), peer(TRUNK, edge.address, "carrier") as trunk:
        call = await worker.call(f"sip:+15550123@{TRUNK}:{trunk.port}")
        await hear_back(edge, call)
        await call.hang_up()


async def test_a_full_worker_passes_the_call_on(edge: Edge) -> None:
    async with workers(edge, 2) as (full, free), peer(TRUNK, edge.address, "trunk") as trunk:
        for status in (486, 503):
            full.refuse = status
            before = free.answered
            for _ in range(2):
                await (await trunk.call(AGENT)).hang_up()
            call = await trunk.call(AGENT)
            assert free.answered == before + 3
            full.refuse = 0
            await settle(edge, {full.port, free.port})
            # The edge counts the call as one of whoever took it in the end.
            for port, ended in ((full.port, 0), (free.port, 1)):
                uri = f"sip:127.0.0.1:{port}"
                assert await asyncio.to_thread(edge.control.end_calls, uri) == ended
            async with asyncio.timeout(5):
                await call.ended.wait()


async def test_without_any_worker_the_caller_is_told_to_try_later(edge: Edge) -> None:
    await asyncio.to_thread(edge.set_workers)
    async with peer(TRUNK, edge.address, "trunk") as trunk:
        with pytest.raises(Refused) as refusal:
            await trunk.call(AGENT)
    assert refusal.value.status == 503
    assert refusal.value.reply.get("retry-after")


async def test_calls_of_a_dead_worker_are_ended_on_the_callers_side(edge: Edge) -> None:
    async with workers(edge) as (worker,), peer(TRUNK, edge.address, "trunk") as trunk:
        calls = [await trunk.call(AGENT) for _ in range(3)]
        uri = f"sip:127.0.0.1:{worker.port}"
        worker.silent = True
        assert await asyncio.to_thread(edge.control.end_calls, uri) == 3
        async with asyncio.timeout(5):
            for call in calls:
                await call.ended.wait()
        assert await asyncio.to_thread(edge.control.end_calls, "sip:127.0.0.1:9") == 0


async def test_a_killed_worker_costs_no_new_call(edge: Edge) -> None:
    """Load before, during and after; every new call is answered, by the one that lives."""
    first, second = edge.worker_ports[:2]
    with running_worker(edge, first) as dying, running_worker(edge, second):
        await take_calls(edge, first, second)
        async with peer(TRUNK, edge.address, "trunk") as trunk:
            before = [await trunk.call(AGENT) for _ in range(6)]
            assert {call.answered_by for call in before} == {f"worker-{first}", f"worker-{second}"}
            dying.child.kill()
            dying.child.wait(10)
            after = await asyncio.gather(*(trunk.call(AGENT) for _ in range(6)))
            assert {call.answered_by for call in after} == {f"worker-{second}"}
            # By now the edge knows: it asks the living one first.
            known = edge.log().count("does not answer")
            assert {(await trunk.call(AGENT)).answered_by for _ in range(6)} == {f"worker-{second}"}
            assert edge.log().count("does not answer") == known
            survivors = [call for call in before if call.answered_by == f"worker-{second}"]
            for call in survivors:
                assert (await call.request("BYE")).status == 200
        # Back again, it is given calls without anybody's doing.
        with running_worker(edge, first):
            await settle(edge, {first, second})


async def test_a_drained_worker_loses_no_call(edge: Edge) -> None:
    first, second = edge.worker_ports[:2]
    with running_worker(edge, first) as leaving, running_worker(edge, second):
        await take_calls(edge, first, second)
        async with peer(TRUNK, edge.address, "trunk") as trunk:
            calls = [await trunk.call(AGENT) for _ in range(4)]
            (held, *_) = [call for call in calls if call.answered_by == f"worker-{first}"]
            leaving.child.terminate()
            while True:
                status = await asyncio.to_thread(leaving.status)
                extra = await trunk.call(AGENT)
                if extra.answered_by == f"worker-{second}":
                    break
            later = [await trunk.call(AGENT) for _ in range(4)]
            assert {call.answered_by for call in later} == {f"worker-{second}"}
            await hear_back(edge, held)
            assert leaving.child.poll() is None
            mine = [c for c in list(trunk.calls.values()) if c.answered_by == f"worker-{first}"]
            for call in mine:
                assert (await call.request("BYE")).status == 200
            assert status is not None
            assert await asyncio.to_thread(leaving.child.wait, 20) == 0
            for call in calls:
                if call not in mine:
                    assert (await call.request("BYE")).status == 200


async def test_a_forged_route_reaches_no_other_service(edge: Edge) -> None:
    async with (
        workers(edge),
        peer("127.0.0.1", edge.address, "victim") as victim,
        peer(TRUNK, edge.address, "trunk") as trunk,
    ):
        call = await trunk.call(AGENT)
        routes = [f"<sip:127.0.0.1:{edge.port};lr>"]
        for target in (
            f"sip:127.0.0.1:{victim.port}",
            f"sip:x@127.0.0.1:{victim.port};transport=tcp",
        ):
            reply = await trunk.request(
                "OPTIONS", target, call.local, call.remote, call.call_id, 99, routes
            )
            assert reply.status == 481
        assert victim.probes == 0
        await call.hang_up()


async def test_a_made_up_to_tag_is_no_way_around_the_password(edge: Edge) -> None:
    async with workers(edge) as (worker,), peer("127.0.0.36", edge.address, "alice") as stranger:
        target = f"sip:127.0.0.1:{worker.port}"
        routes = [f"<sip:127.0.0.1:{edge.port};lr>"]
        for method in ("INVITE", "REFER"):
            reply = await stranger.request(
                method,
                target,
                "<sip:alice@offhook>;tag=1",
                f"<{AGENT}>;tag=2",
                "made-up",
                1,
                routes,
            )
            assert reply.status == 407, method
        assert worker.answered == 0


async def test_a_scanner_hears_nothing_and_is_banned(edge: Edge) -> None:
    async with workers(edge) as (worker,), peer("127.0.0.51", edge.address, "alice") as scanner:
        scanner.agent = "friendly-scanner"
        with pytest.raises(TimeoutError):
            await ask(scanner, "OPTIONS")
        scanner.agent = "a good phone"
        with pytest.raises(TimeoutError):
            await scanner_call(scanner)
        assert worker.answered == 0
        bans = await asyncio.to_thread(edge.control.bans)
        assert bans["127.0.0.51"].startswith("scanner: friendly-scanner")
        await asyncio.to_thread(edge.control.unban, "127.0.0.51")
        assert (await ask(scanner, "OPTIONS")).status == 200


async def ask(phone: SipPeer, method: str):  # type: ignore[no-untyped-def]
    return await phone.request(
        method, AGENT, "<sip:alice@offhook>;tag=1", f"<{AGENT}>", "ask", 1, [], limit_s=1.5
    )


async def scanner_call(phone: SipPeer) -> None:
    async with asyncio.timeout(2):
        await phone.call(AGENT, PASSWORD)


async def test_guessing_passwords_is_banned(edge: Edge) -> None:
    async with peer("127.0.0.52", edge.address, "alice") as guesser:
        tried = 0
        with pytest.raises(TimeoutError):
            for _ in range(30):
                tried += 1
                async with asyncio.timeout(3):
                    await guesser.register("alice", f"guess {tried}", "offhook")
        assert 9 <= tried <= 12
    assert (await asyncio.to_thread(edge.control.bans))["127.0.0.52"] == "wrong passwords"


FLOOD = "127.0.0.66"


@pytest.mark.skipif(not shutil.which("sipp"), reason="needs sipp: apt-get install sip-tester")
async def test_a_flood_does_not_disturb_a_running_call(edge: Edge, tmp_path: Path) -> None:
    """1,000 INVITEs a second from one source; the call's packets keep flowing."""
    async with workers(edge) as (worker,), peer(TRUNK, edge.address, "trunk") as trunk:
        call = await trunk.call(AGENT)
        command = [
            "sipp", f"127.0.0.1:{edge.port}", "-i", FLOOD, "-sn", "uac", "-s", "agent",
            "-r", "1000", "-m", "3000", "-l", "4000", "-nd", "-timeout", "8s", "-timeout_error",
            "-recv_timeout", "3000", "-nostdin",
        ]  # fmt: skip
        flood = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            await call.media.send(150)
            await heard(call, 150 * 0.95)
            # A new caller is served meanwhile.
            await (await trunk.call(AGENT)).hang_up()
        finally:
            if flood.returncode is None:
                flood.kill()
            await flood.wait()
        assert (await asyncio.to_thread(edge.control.bans))[FLOOD] == "flood"
        assert worker.answered == 2
        await call.hang_up()
