"""Bringing a hub model to this machine: resumed, checked, and whole or not there at all."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import httpx2
from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils._fixes import WeakFileLock
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils.tqdm import silent_tqdm

from models.catalogue import HubSource, ModelEntry, ModelFile
from models.errors import ModelCorrupt, ModelError, ModelNotFound
from models.loading import model_folder
from models.lock import FetchedFile, FetchedModel, ModelLock, checksum

_SPARE_BYTES = 64 << 20

OnProgress = Callable[[str, int, int], None]
"""(file, bytes here, bytes in all); comes often, also backwards when a server cannot resume."""


class FetchFailed(ModelError):
    """The network, the hub or the disk stopped a fetch; a later one goes on where it stopped."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file as the hub describes it now."""

    url: str
    commit: str
    size_bytes: int
    etag: str
    """The file's sha256 where it is stored as a large file, else git's blob sha1."""


def fetch(entry: ModelEntry, on_progress: OnProgress, lock: ModelLock | None = None) -> Path:
    """Fetches what is missing of a model; returns its folder.

    A file appears under its own name only when it is complete and its checksum is right. A
    revision that is a branch is resolved once: a model fetched before keeps its commit.
    Raises ModelNotFound, ModelCorrupt or FetchFailed. Does nothing for a model that is not
    from the hub.
    """
    folder = model_folder(entry)
    if not isinstance(entry.source, HubSource):
        return folder
    lock = lock or ModelLock()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(folder / ".fetching"):
            _fetch_all(entry, entry.source, folder, on_progress, lock)
    except OSError as error:
        raise FetchFailed(
            f"model {entry.name!r}: {error}; run it again to go on where it stopped: "
            f"offhook models fetch {entry.name}"
        ) from error
    return folder


def describe(source: HubSource, file: ModelFile, revision: str) -> RemoteFile:
    """Asks the hub (``HF_ENDPOINT``) about one file. Raises ModelNotFound or OSError."""
    url = hf_hub_url(
        source.repository,
        source.remote_path(file.path),
        revision=revision,
        endpoint=os.environ.get("HF_ENDPOINT"),
    )
    try:
        metadata = get_hf_file_metadata(url, retry_on_errors=False)
    except GatedRepoError as error:
        raise ModelNotFound(
            f"{url}: its owner gives it only to those who accepted its licence; accept it on "
            "the model's page, then set HF_TOKEN to your access token"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, RemoteEntryNotFoundError) as error:
        raise ModelNotFound(f"{url}: the hub has no such file ({type(error).__name__})") from error
    except (HfHubHTTPError, httpx2.HTTPError, OfflineModeIsEnabled) as error:
        raise OSError(f"{url}: {error}") from error
    if metadata.commit_hash is None or metadata.etag is None or metadata.size is None:
        raise OSError(f"{url}: the hub's answer lacks commit, checksum or size")
    return RemoteFile(url, metadata.commit_hash, metadata.size, metadata.etag)


def _fetch_all(
    entry: ModelEntry, source: HubSource, folder: Path, on_progress: OnProgress, lock: ModelLock
) -> None:
    known = lock.fetched(entry.name, str(source))
    revision = known.commit if known and source.revision == "main" else source.revision
    done: dict[str, FetchedFile] = {}
    for file in entry.files:
        recorded = known.files.get(file.path) if known else None
        sha256 = file.sha256 or (recorded.sha256 if recorded else None)
        target = folder / file.path
        if sha256 and target.is_file() and lock.sha256(target) == sha256:
            done[file.path] = FetchedFile(sha256, target.stat().st_size)
            continue
        remote = describe(source, file, revision)
        # All files of one model come from one commit, even while the branch moves on.
        revision = remote.commit
        sha256 = _fetch_one(entry, file, remote, sha256, target, on_progress)
        done[file.path] = FetchedFile(sha256, remote.size_bytes)
    commit = revision if known is None or revision != source.revision else known.commit
    lock.record_fetched(entry.name, FetchedModel(str(source), commit, done))


def _fetch_one(
    entry: ModelEntry,
    file: ModelFile,
    remote: RemoteFile,
    sha256: str | None,
    target: Path,
    on_progress: OnProgress,
) -> str:
    """Brings one file and returns its sha256."""
    if file.size_bytes not in (None, remote.size_bytes):
        raise ModelCorrupt(
            f"model {entry.name!r}: {remote.url} has {remote.size_bytes} bytes where the "
            f"catalogue has {file.size_bytes}; it is another file than the one that was chosen"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{remote.etag[:16]}.part")
    _download(remote, part, lambda here: on_progress(file.path, here, remote.size_bytes))
    actual = checksum(part)
    wanted, found = (sha256, actual) if sha256 else (remote.etag, _as_etag(remote.etag, part))
    if found != wanted:
        part.unlink()
        raise ModelCorrupt(
            f"model {entry.name!r}: {remote.url} arrived with checksum {found} where {wanted} "
            f"({remote.size_bytes} bytes) is expected; nothing was kept; "
            f"try again: offhook models fetch {entry.name}"
        )
    part.replace(target)
    return actual


def _download(remote: RemoteFile, part: Path, on_bytes: Callable[[int], None]) -> None:
    here = part.stat().st_size if part.exists() else 0
    if here > remote.size_bytes:
        part.unlink()
        here = 0
    free = shutil.disk_usage(part.parent).free
    if free < remote.size_bytes - here + _SPARE_BYTES:
        raise OSError(
            f"{part.parent}: {free >> 20} MiB free, and "
            f"{(remote.size_bytes - here + _SPARE_BYTES) >> 20} MiB are needed"
        )
    with part.open("ab") as stream:
        try:
            http_get(
                remote.url,
                cast(Any, _Counted(stream, on_bytes)),
                resume_size=here,
                headers=build_hf_headers() | {"Accept-Encoding": "identity"},
                expected_size=remote.size_bytes,
                tqdm_class=cast(Any, silent_tqdm),
            )
        except (httpx2.HTTPError, OfflineModeIsEnabled) as error:
            raise OSError(f"{remote.url}: {error}") from error


class _Counted:
    """A file that tells how long it is after each write."""

    def __init__(self, stream: IO[bytes], on_bytes: Callable[[int], None]) -> None:
        self._stream = stream
        self._on_bytes = on_bytes
        on_bytes(stream.tell())

    def write(self, data: bytes) -> int:
        written = self._stream.write(data)
        self._on_bytes(self._stream.tell())
        return written

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int) -> int:
        return self._stream.seek(offset)

    def truncate(self) -> int:
        return self._stream.truncate()


def _as_etag(etag: str, path: Path) -> str:
    """The file's checksum in the form of ``etag``: sha256, or git's blob sha1 for small files."""
    if len(etag) == 64:
        return checksum(path)
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
