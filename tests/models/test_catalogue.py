import pytest

from models.catalogue import (
    CatalogueError,
    HubSource,
    PackageSource,
    package_folder,
    parse,
    parse_source,
    shipped,
)
from models.errors import ModelNotFound

_ENTRY = """
[[model]]
name = "small"
kind = "llm"
source = "hub:someone/some-repo@main/folder"
licence = "MIT"
language = "en"
memory_mb = 10
memory_measured = false
files = [ { path = "a.gguf", size_bytes = 0, sha256 = "unknown" } ]
"""


def test_an_entry_is_read() -> None:
    entry = parse(_ENTRY, "here").find("small", "llm")
    assert entry.source == HubSource("someone/some-repo", "main", "folder")
    assert entry.opens == "a.gguf"
    assert entry.size_bytes is None and entry.files[0].sha256 is None
    assert str(entry.source) == "hub:someone/some-repo@main/folder"


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ('kind = "llm"', 'knd = "llm"', "unknown key 'knd'; did you mean 'kind'?"),
        ('kind = "llm"', 'kind = "asr"', "kind 'asr' is none of stt, llm, tts, vad, turn"),
        ('licence = "MIT"\n', "", "key 'licence' is missing"),
        ("memory_mb = 10", 'memory_mb = "10"', "memory_mb must be a int"),
        ("hub:someone/some-repo@main/folder", "hub:someone@main", "source 'hub:someone@main'"),
        ('"a.gguf"', '"../a.gguf"', "must stay inside"),
        ('"unknown"', '"abc"', "sha256 'abc'"),
        ("memory_mb = 10", 'memory_mb = 10\nopens = "b.gguf"', "opens 'b.gguf'"),
        ("hub:someone/some-repo@main", "package:thing", "sha256 must be given"),
        ("files = [", "files = [[", "not valid TOML"),
    ],
)
def test_a_wrong_entry_is_named(wrong: str, right: str, said: str) -> None:
    assert wrong in _ENTRY
    with pytest.raises(CatalogueError) as error:
        parse(_ENTRY.replace(wrong, right), "cat.toml")
    assert said in str(error.value) and str(error.value).startswith("cat.toml: ")


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(CatalogueError, match="'small' appears twice"):
        parse(_ENTRY + _ENTRY, "cat.toml")


def test_an_unknown_name_brings_the_nearest() -> None:
    with pytest.raises(ModelNotFound, match=r"'whisper-tiny'; nearest: whisper-tiny\.en"):
        shipped().find("whisper-tiny")


def test_a_model_of_another_kind_is_refused() -> None:
    with pytest.raises(ModelNotFound, match="is of kind tts, and stt is needed"):
        shipped().find("piper-en_US-joe-medium", "stt")


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(ModelNotFound, match="no-such-voice is not installed"):
        package_folder(PackageSource("no-such-voice", "data"))


def test_a_revision_and_a_root_folder() -> None:
    source = parse_source("hub:a/b@v1.0", "x")
    assert isinstance(source, HubSource)
    assert (source.revision, source.remote_path("f")) == ("v1.0", "f")


def test_the_shipped_catalogue_has_a_default_and_a_choice_for_each_kind() -> None:
    kinds = [entry.kind for entry in shipped().values()]
    assert set(kinds) == {"stt", "llm", "tts", "vad", "turn"}
    assert kinds.count("llm") >= 6 and kinds.count("stt") >= 4 and kinds.count("tts") >= 4
    assert all(entry.licence for entry in shipped().values())
