"""Phones that speak TLS and SRTP, workers that speak plain RTP: the edge between them."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_peer import PeerCall, Refused, SipPeer
from edge_processes import EDGE, PASSWORD, ROOT, Edge, needs_edge, process, running_edge, until
from edge_softphone import (
    SOURCE_HZ,
    call_over_tls,
    loudest_hz,
    make_certificate,
    needs_softphone,
)

pytestmark = [needs_edge, needs_softphone]

TONE_HZ = 440
"""What the tone agent says."""
SECONDS = 4


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificates"), "edge")


@pytest.fixture(scope="module")
def edge(
    tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]
) -> Iterator[Edge]:
    environ = {"EDGE_CERTIFICATE": str(certificate[0]), "EDGE_KEY": str(certificate[1])}
    folder = tmp_path_factory.mktemp("edge") / "edge"
    with running_edge(folder, {"alice": PASSWORD, "bob": PASSWORD}, environ=environ) as running:
        yield running


async def test_srtp_outside_is_plain_rtp_inside(
    edge: Edge, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    worker = await SipPeer.open("127.0.0.1", edge.internal, "agent", edge.worker_ports[0])
    try:
        await asyncio.to_thread(edge.set_workers, worker.port)
        await asyncio.to_thread(until, lambda: edge.active() == {worker.port}, "it takes calls")
        said = await call_over_tls(tmp_path / "phone", edge, certificate[0], SECONDS)
        assert worker.answered == 1, said[-3000:]
        assert worker.ended == 1
        assert "RTP/AVP 8" in worker.last_sdp and "crypto" not in worker.last_sdp
    finally:
        worker.close()
    assert loudest_hz(tmp_path / "phone") == pytest.approx(SOURCE_HZ, abs=5), said[-3000:]


async def test_the_real_stack_is_heard_through_tls_and_srtp(
    edge: Edge, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    port = edge.worker_ports[2]
    command = [sys.executable, "-m", "latency_bench.tone_agent", "--port", str(port)]
    log = tmp_path / "agent.log"
    with process(command, {"PYTHONPATH": str(ROOT)}, tmp_path, log) as agent:
        await asyncio.to_thread(until, lambda: b"ready" in log.read_bytes(), "the agent listens")
        await asyncio.to_thread(edge.set_workers, port)
        # It answers the edge's probes by itself.
        await asyncio.sleep(2.5)
        await asyncio.to_thread(until, lambda: edge.active() == {port}, "it takes calls")
        said = await call_over_tls(tmp_path / "phone", edge, certificate[0], SECONDS)
        assert agent.poll() is None, log.read_text()
        over = "call finished"
        await asyncio.to_thread(until, lambda: over in log.read_text(), "the phone's BYE came")
    assert loudest_hz(tmp_path / "phone") == pytest.approx(TONE_HZ, abs=5), said[-3000:]


async def test_a_worker_reaches_a_phone_that_insists_on_tls_and_srtp(
    edge: Edge, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "phone"
    waiting = asyncio.create_task(call_over_tls(folder, edge, certificate[0], 7, wait=True))
    worker = await SipPeer.open("127.0.0.1", edge.internal, "agent", edge.worker_ports[1])
    try:
        async with asyncio.timeout(20):
            while (call := await dialled(worker, "sip:alice@offhook")) is None:
                await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            while call.media.received < 50:
                await asyncio.sleep(0.02)
        assert "RTP/AVP 8" in call.sdp and "crypto" not in call.sdp
        await call.hang_up()
        said = await waiting
        assert "SRTP is Enabled" in said
        # The next call of the same Kamailio process is not taken for one over TLS.
        phone = await SipPeer.open("127.0.0.38", edge.address, "bob")
        try:
            for _ in range(4):
                await phone.register("bob", PASSWORD, "offhook")
                plain = await worker.call("sip:bob@offhook")
                assert "RTP/AVP 8" in phone.last_sdp and "crypto" not in phone.last_sdp
                await plain.hang_up()
        finally:
            phone.close()
    finally:
        worker.close()


async def dialled(worker: SipPeer, target: str) -> PeerCall | None:
    """The call, or None while nobody is registered there."""
    try:
        return await worker.call(target)
    except Refused as refusal:
        assert refusal.status == 404, refusal
        return None


PUBLIC = "203.0.113.9"
TRUNK = "127.0.0.27"


async def test_behind_nat_the_public_address_is_named_and_taken_for_its_own(tmp_path: Path) -> None:
    with running_edge(
        tmp_path / "edge",
        trunks=(TRUNK,),
        environ={"EDGE_ADVERTISE": PUBLIC},
        media_address=f"127.0.0.1!{PUBLIC}",
    ) as edge:
        port = edge.worker_ports[0]
        worker = await SipPeer.open("127.0.0.1", edge.internal, "agent", port)
        trunk = await SipPeer.open(TRUNK, edge.address, "trunk")
        try:
            await asyncio.to_thread(edge.set_workers, port)
            await asyncio.to_thread(until, lambda: edge.active() == {port}, "it takes calls")
            call = await trunk.call("sip:agent@offhook")
            assert f"c=IN IP4 {PUBLIC}" in call.sdp
            assert call.routes and f"{PUBLIC}:{edge.port}" in "".join(call.routes)
            assert f"c=IN IP4 {PUBLIC}" not in worker.last_sdp
            await call.hang_up()
            async with asyncio.timeout(5):
                while not worker.ended:
                    await asyncio.sleep(0.02)
        finally:
            worker.close()
            trunk.close()


@pytest.mark.parametrize("tls", [True, False])
def test_kamailio_accepts_the_configuration(
    tls: bool, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    environ = {"EDGE_FOLDER": str(tmp_path), "EDGE_ADVERTISE": "203.0.113.9", "PATH": "/usr/sbin"}
    if tls:
        environ |= {"EDGE_CERTIFICATE": str(certificate[0]), "EDGE_KEY": str(certificate[1])}
    checked = subprocess.run(
        ["kamailio", "-c", "-f", str(EDGE / "kamailio.cfg")],
        env=environ, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    assert "advertise 203.0.113.9:5060" in checked.stderr + checked.stdout
    assert ("tls: 127.0.0.1" in checked.stderr + checked.stdout) is tls
