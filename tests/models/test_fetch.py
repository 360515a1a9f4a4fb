"""Fetching against a server that speaks enough of the hub's protocol."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from models.catalogue import Catalogue, ModelEntry, parse
from models.errors import ModelCorrupt, ModelNotFound
from models.fetch import FetchFailed, fetch
from models.loading import locate
from models.lock import ModelLock

_COMMIT = "1234567890abcdef1234567890abcdef12345678"
_LARGE = bytes(range(256)) * 4096
_SMALL = b'{"a": 1}'
_SHA256 = hashlib.sha256(_LARGE).hexdigest()


def _blob_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Hub:
    """What the server has, and how it misbehaves."""

    files: dict[str, bytes] = field(
        default_factory=lambda: {"f/model.gguf": _LARGE, "f/config.json": _SMALL}
    )
    large: set[str] = field(default_factory=lambda: {"f/model.gguf"})
    served: dict[str, bytes] = field(default_factory=dict)
    """Sent in place of the true content."""
    stop_after: list[int] = field(default_factory=list)
    """Bytes after which each next download is cut off."""
    ranges: bool = True
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, revision, Range)."""
    url: str = ""


def _handler(hub: Hub) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            # /someone/some-repo/resolve/<revision>/<path>
            _, _, _, _, revision, path = self.path.split("/", 5)
            asked = self.headers.get("Range")
            hub.asked.append((self.command, revision, asked))
            if path not in hub.files:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            true = hub.files[path]
            content = hub.served.get(path, true)
            start = int(asked[6:-1]) if asked and hub.ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("X-Repo-Commit", _COMMIT)
            if path in hub.large:
                self.send_header("X-Linked-Etag", f'"{hashlib.sha256(true).hexdigest()}"')
                self.send_header("X-Linked-Size", str(len(true)))
                self.send_header("ETag", '"pointer"')
            else:
                self.send_header("ETag", f'"{_blob_sha1(true)}"')
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if not body:
                return
            if hub.stop_after:
                content = content[: start + hub.stop_after.pop(0)]
                self.close_connection = True
            self.wfile.write(content[start:])

    return Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    hub = Hub()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path / "home"))
    # The client waits a second before it goes on after a cut; the test need not.
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    # It writes whole blocks of 10 MB, more than these files have.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 16)
    yield hub
    server.shutdown()
    server.server_close()
    thread.join(10)


def _catalogue(sha256: str = "unknown", size_bytes: int = 0, revision: str = "main") -> Catalogue:
    return parse(
        f"""
        [[model]]
        name = "thing"
        kind = "llm"
        source = "hub:someone/some-repo@{revision}/f"
        opens = "model.gguf"
        licence = "MIT"
        language = "en"
        memory_mb = 1
        memory_measured = false
        files = [
            {{ path = "model.gguf", size_bytes = {size_bytes}, sha256 = "{sha256}" }},
            {{ path = "config.json", size_bytes = 0, sha256 = "unknown" }},
        ]
        """,
        "test",
    )


def _entry(sha256: str = "unknown", size_bytes: int = 0, revision: str = "main") -> ModelEntry:
    return _catalogue(sha256, size_bytes, revision)["thing"]


def _ignore(path: str, here: int, total: int) -> None:
    pass


def test_a_model_arrives_is_recorded_and_is_not_fetched_twice(hub: Hub) -> None:
    seen: list[tuple[str, int, int]] = []
    folder = fetch(_entry(), lambda *step: seen.append(step))
    assert (folder / "model.gguf").read_bytes() == _LARGE
    assert (folder / "config.json").read_bytes() == _SMALL
    assert ("model.gguf", len(_LARGE), len(_LARGE)) in seen
    fetched = ModelLock().fetched("thing", str(_entry().source))
    assert fetched is not None and fetched.commit == _COMMIT
    assert fetched.files["model.gguf"].sha256 == _SHA256
    # All but the first question name the commit that `main` then was.
    assert {revision for _, revision, _ in hub.asked[1:]} <= {"main", _COMMIT}
    assert hub.asked[-1][1] == _COMMIT
    assert locate("thing", "llm", _catalogue()) == folder / "model.gguf"
    before = len(hub.asked)
    fetch(_entry(), _ignore)
    assert len(hub.asked) == before


def test_a_download_that_is_cut_off_goes_on_where_it_stopped(hub: Hub) -> None:
    hub.stop_after = [300_000, 200_000]
    folder = fetch(_entry(), _ignore)
    assert (folder / "model.gguf").read_bytes() == _LARGE
    ranges = [range_ for method, _, range_ in hub.asked if method == "GET" and range_]
    assert len(ranges) == 2 and ranges[0] != ranges[1]


def test_a_later_process_goes_on_too(hub: Hub) -> None:
    folder = Path(fetch(_entry(), _ignore))
    (folder / "model.gguf").unlink()
    (folder / f"model.gguf.{_SHA256[:16]}.part").write_bytes(_LARGE[:400_000])
    hub.asked.clear()
    fetch(_entry(), _ignore)
    assert ("GET", _COMMIT, "bytes=400000-") in hub.asked
    assert (folder / "model.gguf").read_bytes() == _LARGE


def test_a_server_that_cannot_resume_is_asked_for_the_whole(hub: Hub) -> None:
    hub.ranges = False
    hub.stop_after = [300_000]
    folder = fetch(_entry(), _ignore)
    assert (folder / "model.gguf").read_bytes() == _LARGE


@pytest.mark.parametrize("sha256", ["unknown", _SHA256])
def test_wrong_content_is_refused_and_nothing_is_kept(hub: Hub, sha256: str) -> None:
    hub.served["f/model.gguf"] = b"\0" * len(_LARGE)
    with pytest.raises(ModelCorrupt, match=f"where {_SHA256}") as error:
        fetch(_entry(sha256), _ignore)
    assert "nothing was kept" in str(error.value)
    folder = ModelLock().path.parent / "models" / "thing"
    assert [path.name for path in folder.iterdir() if path.name != ".fetching"] == []
    with pytest.raises(ModelNotFound, match="offhook models fetch thing"):
        locate("thing", "llm", _catalogue(sha256))


def test_wrong_content_of_a_small_file_is_refused(hub: Hub) -> None:
    hub.served["f/config.json"] = b'{"a": 2}'
    with pytest.raises(ModelCorrupt, match=r"config\.json arrived with checksum"):
        fetch(_entry(), _ignore)


def test_another_file_than_the_catalogue_means_is_refused(hub: Hub) -> None:
    with pytest.raises(ModelCorrupt, match=f"where {'0' * 64}"):
        fetch(_entry("0" * 64), _ignore)
    with pytest.raises(ModelCorrupt, match="where the catalogue has 7"):
        fetch(_entry(_SHA256, 7), _ignore)


def test_a_truncated_file_is_not_taken_for_whole(hub: Hub) -> None:
    hub.served["f/model.gguf"] = _LARGE[:500_000]
    with pytest.raises(FetchFailed, match=r"run it again.*offhook models fetch thing"):
        fetch(_entry(), _ignore)
    folder = ModelLock().path.parent / "models" / "thing"
    assert not (folder / "model.gguf").exists()
    del hub.served["f/model.gguf"]
    fetch(_entry(), _ignore)
    assert (folder / "model.gguf").read_bytes() == _LARGE


def test_a_file_that_the_hub_has_not_is_named(hub: Hub) -> None:
    del hub.files["f/config.json"]
    with pytest.raises(ModelNotFound, match=r"config\.json: the hub has no such file"):
        fetch(_entry(), _ignore)


def test_no_server_at_all(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FetchFailed, match="127.0.0.1:9"):
        fetch(_entry(), _ignore)


def test_a_disk_without_room_is_named_before_the_download(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1 << 20

    monkeypatch.setattr("models.fetch.shutil.disk_usage", lambda path: Usage)
    with pytest.raises(FetchFailed, match="1 MiB free"):
        fetch(_entry(), _ignore)
    assert all(method == "HEAD" for method, _, _ in hub.asked)
