import hashlib
import os
from pathlib import Path

import pytest

import models.lock
from models.lock import FetchedFile, FetchedModel, ModelLock, home


def test_a_checksum_is_made_once_and_again_when_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    real = models.lock.checksum

    def counted(file: Path) -> str:
        made.append(file)
        return real(file)

    monkeypatch.setattr(models.lock, "checksum", counted)
    file = tmp_path / "model"
    file.write_bytes(b"one")
    assert ModelLock(tmp_path / "lock").sha256(file) == hashlib.sha256(b"one").hexdigest()
    assert ModelLock(tmp_path / "lock").sha256(file) == hashlib.sha256(b"one").hexdigest()
    assert len(made) == 1
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert ModelLock(tmp_path / "lock").sha256(file) == hashlib.sha256(b"two").hexdigest()


def test_a_fetch_is_remembered_beside_checksums(tmp_path: Path) -> None:
    lock = ModelLock(tmp_path / "deep" / "lock.json")
    model = FetchedModel("hub:a/b@main", "c" * 40, {"a": FetchedFile("f" * 64, 3)})
    lock.record_fetched("thing", model)
    (tmp_path / "file").write_bytes(b"x")
    lock.sha256(tmp_path / "file")
    assert ModelLock(lock.path).fetched("thing", "hub:a/b@main") == model
    assert lock.fetched("other", "hub:a/b@main") is None
    assert lock.fetched("thing", "hub:a/b@v2") is None


def test_a_broken_lock_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    path.write_text("{ not json")
    file = tmp_path / "model"
    file.write_bytes(b"one")
    assert ModelLock(path).sha256(file) == hashlib.sha256(b"one").hexdigest()
    assert str(file) in path.read_text()


def test_a_home_that_cannot_be_written_costs_only_the_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one")
    lock = ModelLock(tmp_path / "file" / "lock.json")
    assert lock.sha256(tmp_path / "file") == hashlib.sha256(b"one").hexdigest()


def test_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_HOME", "/a/b")
    assert home() == Path("/a/b")
    monkeypatch.delenv("OFFHOOK_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert home() == Path("/data/offhook")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert home() == Path.home() / ".local/share/offhook"
