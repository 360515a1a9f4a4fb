"""`offhook edge`: from the shell, against a running edge and without one."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_peer import SipPeer
from edge_processes import PASSWORD, ROOT, Edge, edge_folder, needs_edge, running_edge

from telephony.edge.credentials import HEADER, set_user, without_user

LIMIT_S = 30


def offhook(folder: Path, *arguments: str, typed: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", "edge", *arguments],
        input=typed,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OFFHOOK_WORKERS__EDGE": str(folder)},
    )


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with running_edge(tmp_path_factory.mktemp("edge") / "edge") as running:
        yield running


@needs_edge
async def test_a_user_is_let_in_at_once_and_put_out_again(edge: Edge) -> None:
    phone = await SipPeer.open("127.0.0.35", edge.address, "carol")
    try:
        for done, status in (
            (("user", "carol"), 200),
            (("user", "carol", "--remove"), 401),
        ):
            result = await asyncio.to_thread(offhook, edge.folder, *done, typed="a pass:word\n")
            assert result.returncode == 0, result.stderr
            assert (await phone.register("carol", "a pass:word", "offhook")).status == status
        # Others are as they were.
        phone.user = "alice"
        assert (await phone.register("alice", PASSWORD, "offhook")).status == 200
    finally:
        phone.close()
    assert "pass" not in (edge.folder / "db" / "credentials").read_text()


@needs_edge
async def test_the_ban_list_is_read_and_a_ban_lifted(edge: Edge) -> None:
    scanner = await SipPeer.open("127.0.0.53", edge.address, "x")
    try:
        scanner.send_new("OPTIONS", "sip:x@offhook", "friendly-scanner \x1b[2J")
        async with asyncio.timeout(10):
            while "127.0.0.53" not in edge.control.bans():
                await asyncio.sleep(0.05)
    finally:
        scanner.close()
    listed = await asyncio.to_thread(offhook, edge.folder, "bans")
    assert "127.0.0.53  scanner: friendly-scanner" in listed.stdout
    assert "\x1b" not in listed.stdout
    assert (await asyncio.to_thread(offhook, edge.folder, "unban", "127.0.0.53")).returncode == 0
    assert "127.0.0.53" not in (await asyncio.to_thread(offhook, edge.folder, "bans")).stdout


@needs_edge
def test_status_and_reload(edge: Edge) -> None:
    port = edge.worker_ports[0]
    with (edge.folder / "dispatcher.list").open("a") as workers:
        workers.write(f"1 sip:127.0.0.1:{port} 4 0\n")
    assert offhook(edge.folder, "reload").returncode == 0
    shown = offhook(edge.folder, "status").stdout
    assert f"sip:127.0.0.1:{port}  takes no new calls" in shown
    assert "calls under way: 0" in shown


def test_without_an_edge_users_are_written_and_the_rest_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    edge_folder(folder, {}, ())
    assert "not running" in offhook(folder, "user", "dora", typed="secret\n").stdout
    assert "dora:0:0:" in (folder / "db" / "credentials").read_text()
    assert (folder / "db" / "credentials").stat().st_mode & 0o077 == 0
    for arguments in (("status",), ("bans",), ("unban", "192.0.2.1"), ("reload",)):
        told = offhook(folder, *arguments)
        assert told.returncode == 1
        assert "no edge answers" in told.stderr and "EDGE_FOLDER=" in told.stderr
        assert "Traceback" not in told.stderr


@pytest.mark.parametrize("name", ["", "a b", "x:y", "a\nb", "a" * 65])
def test_a_user_that_would_break_the_table_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a user"):
        set_user(HEADER, name, "offhook", "secret")


def test_an_empty_password_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    edge_folder(folder, {"alice": "secret"}, ())
    before = (folder / "db" / "credentials").read_text()
    assert offhook(folder, "user", "alice", typed="\n").returncode == 1
    assert (folder / "db" / "credentials").read_text() == before


def test_users_are_replaced_and_removed_by_their_whole_name() -> None:
    table = set_user(set_user(HEADER, "ann", "offhook", "1"), "anna", "offhook", "2")
    assert without_user(table, "ann").count("\n") == 2 and "anna:" in without_user(table, "ann")
    again = set_user(table, "ann", "offhook", "1")
    assert sorted(again.splitlines()) == sorted(table.splitlines())
