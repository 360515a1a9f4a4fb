"""Where the settings say that call records are."""

from pathlib import Path

import pytest

from agent.config import load_config
from agent.records.source import Source, records_source
from agent.sections import ConfigError, RecordsConfig

URL = "postgresql://offhook@db.example.org:5433/calls"
SECRET = "postgresql://offhook:s3cret@db.example.org/calls?sslmode=require"


def source_of(environ: dict[str, str]) -> Source:
    return records_source(load_config(None, environ).records, environ)


def test_a_file_is_the_default() -> None:
    assert source_of({"OFFHOOK_RECORDS__PATH": "~/x.sqlite3"}) == Source(Path.home() / "x.sqlite3")


def test_a_database_by_its_url() -> None:
    source = source_of({"OFFHOOK_RECORDS__URL": URL, "OFFHOOK_RECORDS__PATH": "/data/x"})
    assert str(source) == URL and source.path == Path("/data/x") and source.exists
    assert source.url and source.url.drivername == "postgresql+psycopg"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg"])
def test_other_names_of_the_same(scheme: str) -> None:
    source = source_of({"OFFHOOK_RECORDS__URL": URL.replace("postgresql", scheme)})
    assert str(source) == URL


def test_a_url_with_a_password_comes_from_its_own_variable() -> None:
    environ = {"OFFHOOK_RECORDS__URL_ENV": "CALLS_DB", "CALLS_DB": SECRET}
    source = source_of(environ)
    assert source.url and source.url.password == "s3cret"
    assert str(source) == SECRET.replace("s3cret", "***")
    assert "s3cret" not in repr(source) + repr(load_config(None, environ))


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"URL": SECRET}, "`url` in [records] holds a password"),
        ({"URL": "mysql://db/calls"}, "`url` in [records] must be a URL of PostgreSQL, such as"),
        ({"URL": "calls.sqlite3"}, "for SQLite set `path`"),
        ({"URL": "postgresql://db.example.org"}, "names no database"),
        ({"URL": "postgresql://db:port/calls"}, "is no URL"),
        ({"URL": f"{URL}?password=s3cret"}, "has its password after a question mark"),
        ({"URL_ENV": "CALLS_DB"}, "`url_env` in [records] names CALLS_DB, which is not set"),
        ({"URL_ENV": "CALLS_DB", "URL": URL}, "is given beside `url`; keep one of them"),
        ({"URL_ENV": "BAD"}, "`url_env` in [records] must be a URL of PostgreSQL"),
    ],
)
def test_what_is_wrong_is_told_and_never_shown(environ: dict[str, str], said: str) -> None:
    variables = {f"OFFHOOK_RECORDS__{key}": value for key, value in environ.items()}
    with pytest.raises(ConfigError) as raised:
        load_config(None, {**variables, "BAD": "mysql://offhook:s3cret@db/calls"})
    assert said in str(raised.value) and "s3cret" not in str(raised.value)


def test_a_variable_that_went_missing_is_no_file_instead() -> None:
    with pytest.raises(ConfigError, match="CALLS_DB, which is not set"):
        records_source(RecordsConfig(url_env="CALLS_DB"), {})
