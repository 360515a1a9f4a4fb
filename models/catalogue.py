"""The catalogue: every model known by name, where it comes from and what it must weigh."""

import difflib
import importlib.metadata
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from models.errors import ModelError, ModelNotFound

Kind = Literal["stt", "llm", "tts", "vad", "turn"]

SHIPPED = Path(__file__).with_name("catalogue.toml")

_KEYS = {
    "name": str,
    "kind": str,
    "source": str,
    "licence": str,
    "language": str,
    "memory_mb": int,
    "memory_measured": bool,
    "files": list,
}
_OPTIONAL_KEYS = {"opens": str}
_SHA256 = re.compile(r"[0-9a-f]{64}")


class CatalogueError(ModelError):
    """The catalogue's own text is wrong."""


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A folder inside an installed distribution."""

    distribution: str
    folder: str

    def __str__(self) -> str:
        return f"package:{self.distribution}/{self.folder}"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A folder of a model repository on the hub, at a revision."""

    repository: str
    """``owner/repo``."""
    revision: str
    """A commit, a tag, or ``main`` where no commit is pinned."""
    folder: str
    """Empty for the repository's root."""

    def __str__(self) -> str:
        return f"hub:{self.repository}@{self.revision}" + (f"/{self.folder}" if self.folder else "")

    def remote_path(self, path: str) -> str:
        """A file's path inside the repository."""
        return f"{self.folder}/{path}" if self.folder else path


@dataclass(frozen=True, slots=True)
class PathSource:
    """A folder of this machine."""

    folder: Path

    def __str__(self) -> str:
        return f"path:{self.folder}"


Source = PackageSource | HubSource | PathSource


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model."""

    path: str
    """Relative to the source's folder."""
    size_bytes: int | None
    """None: not known yet."""
    sha256: str | None
    """Lower-case hex; None: not known yet."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the catalogue."""

    name: str
    kind: Kind
    source: Source
    files: tuple[ModelFile, ...]
    opens: str
    """The file that the engine is given; empty for the folder."""
    licence: str
    """SPDX expression, or the licence's own name."""
    language: str
    """BCP 47 tag, ``multilingual`` or ``any``."""
    memory_mb: int
    memory_measured: bool
    """False: ``memory_mb`` is an estimate."""

    @property
    def size_bytes(self) -> int | None:
        """All files together; None where one of them is not known yet."""
        total = 0
        for file in self.files:
            if file.size_bytes is None:
                return None
            total += file.size_bytes
        return total


class Catalogue(Mapping[str, ModelEntry]):
    """Models by name."""

    def __init__(self, entries: Mapping[str, ModelEntry]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> ModelEntry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: str, kind: Kind | None = None) -> ModelEntry:
        """The entry of that name. Raises ModelNotFound naming the nearest ones."""
        entry = self._entries.get(name)
        if entry is None:
            known = [e.name for e in self._entries.values() if kind in (None, e.kind)]
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
            raise ModelNotFound(
                f"no model named {name!r}; nearest: {', '.join(near)} "
                "(all of them: offhook models list)"
            )
        if kind is not None and entry.kind != kind:
            raise ModelNotFound(f"model {name!r} is of kind {entry.kind}, and {kind} is needed")
        return entry


def parse(text: str, where: str) -> Catalogue:
    """Reads a catalogue's TOML. Raises CatalogueError naming ``where``, the entry and the key."""
    try:
        tables = tomllib.loads(text).get("model", [])
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"{where}: not valid TOML: {error}") from error
    entries: dict[str, ModelEntry] = {}
    for number, table in enumerate(tables, 1):
        entry = _entry(table, f"{where}: model {table.get('name', number)!r}")
        if entry.name in entries:
            raise CatalogueError(f"{where}: model {entry.name!r} appears twice")
        entries[entry.name] = entry
    return Catalogue(entries)


@cache
def shipped() -> Catalogue:
    """The catalogue that comes with Offhook."""
    return parse(SHIPPED.read_text(encoding="utf-8"), str(SHIPPED))


def package_folder(source: PackageSource) -> Path:
    """Where an installed distribution keeps a folder; its code is not imported.

    Raises ModelNotFound where the distribution is not installed.
    """
    try:
        distribution = importlib.metadata.distribution(source.distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelNotFound(
            f"{source}: the package {source.distribution} is not installed; "
            f"install it: uv pip install {source.distribution}"
        ) from error
    return Path(str(distribution.locate_file(source.folder)))


def parse_source(text: str, where: str) -> Source:
    """Reads ``package:``, ``hub:`` or ``path:``. Raises CatalogueError naming ``where``."""
    scheme, _, rest = text.partition(":")
    if scheme == "package":
        distribution, _, folder = rest.partition("/")
        if distribution and folder:
            return PackageSource(distribution, folder)
    elif scheme == "hub":
        if match := re.fullmatch(r"([\w.-]+/[\w.-]+)@([\w.-]+)(?:/(.+))?", rest):
            return HubSource(match[1], match[2], match[3] or "")
    elif scheme == "path" and rest:
        return PathSource(Path(rest).expanduser())
    raise CatalogueError(
        f"{where}: source {text!r} is none of package:<distribution>/<folder>, "
        "hub:<owner>/<repo>@<revision>[/<folder>], path:<folder>"
    )


def _entry(table: dict[str, Any], where: str) -> ModelEntry:
    allowed = _KEYS | _OPTIONAL_KEYS
    for key in table:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1, cutoff=0.0)[0]
            raise CatalogueError(f"{where}: unknown key {key!r}; did you mean {near!r}?")
    for key in _KEYS:
        if key not in table:
            raise CatalogueError(f"{where}: key {key!r} is missing")
    for key, value in table.items():
        if type(value) is not allowed[key]:
            raise CatalogueError(f"{where}: {key} must be a {allowed[key].__name__}: {value!r}")
    if table["kind"] not in get_args(Kind):
        raise CatalogueError(
            f"{where}: kind {table['kind']!r} is none of {', '.join(get_args(Kind))}"
        )
    files = tuple(_file(file, where) for file in table["files"])
    if not files:
        raise CatalogueError(f"{where}: files is empty")
    opens = table.get("opens", files[0].path if len(files) == 1 else "")
    if opens and opens not in {file.path for file in files}:
        raise CatalogueError(f"{where}: opens {opens!r} is none of its files")
    source = parse_source(table["source"], where)
    if isinstance(source, PackageSource) and any(file.sha256 is None for file in files):
        raise CatalogueError(f"{where}: an installed model's sha256 must be given")
    return ModelEntry(
        name=table["name"],
        kind=table["kind"],
        source=source,
        files=files,
        opens=opens,
        licence=table["licence"],
        language=table["language"],
        memory_mb=table["memory_mb"],
        memory_measured=table["memory_measured"],
    )


def _file(table: Any, where: str) -> ModelFile:
    if not isinstance(table, dict) or set(table) != {"path", "size_bytes", "sha256"}:
        raise CatalogueError(
            f"{where}: each of files needs exactly path, size_bytes and sha256: {table!r}"
        )
    path, size_bytes, sha256 = table["path"], table["size_bytes"], table["sha256"]
    if not isinstance(path, str) or path.startswith("/") or ".." in path.split("/"):
        raise CatalogueError(f"{where}: file path {path!r} must stay inside the model's folder")
    if not isinstance(size_bytes, int) or size_bytes < 0:
        raise CatalogueError(f"{where}: {path}: size_bytes {size_bytes!r} is no size")
    if sha256 != "unknown" and not _SHA256.fullmatch(str(sha256)):
        raise CatalogueError(
            f'{where}: {path}: sha256 {sha256!r} is neither 64 hex digits nor "unknown"'
        )
    return ModelFile(path, size_bytes or None, None if sha256 == "unknown" else sha256)
