"""Settings: defaults, file, environment, and what is said when one is wrong."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import Config, ConfigError, is_loopback, load_config, settings_file
from agent.settings_tree import keys_of, shape_of
from agent.toml_lines import key_lines


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "offhook.toml"


def complaint(path: Path, text: str, environ: dict[str, str] | None = None) -> str:
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_config(Path(path.name), environ or {})
    return str(raised.value)


def test_defaults_need_nothing(toml: Path) -> None:
    config = load_config(None, {})
    assert (config.server.host, config.server.port) == ("127.0.0.1", 7860)
    assert config.models.device_of("stt") == "auto"
    assert config.records.path == Path.home() / ".local/share/offhook/calls.sqlite3"
    assert config.agent.name in config.agent.persona and "{" not in config.agent.persona


def test_the_file_in_this_folder_is_read(toml: Path) -> None:
    toml.write_text("[server]\nport = 1\n")
    assert load_config(None, {}).server.port == 1
    other = toml.with_name("other.toml")
    other.write_text("[server]\nport = 2\n")
    assert load_config(None, {"OFFHOOK_CONFIG": str(other)}).server.port == 2
    assert load_config(toml, {"OFFHOOK_CONFIG": str(other)}).server.port == 1
    assert settings_file(None, {}) == Path("offhook.toml")


def test_the_environment_wins(toml: Path) -> None:
    toml.write_text('[server]\nport = 1\n[models]\nllm_device = "cuda"\n')
    config = load_config(
        toml,
        {
            "OFFHOOK_SERVER__PORT": "8080",
            "OFFHOOK_SERVER__STUN": "stun:a, stun:b",
            "OFFHOOK_MODELS__LLM_DEVICE": "",
            "OFFHOOK_COST__USD_PER_KWH": "0.30",
            "OFFHOOK_RECORDS__PATH": "~/x.sqlite3",
            "XDG_DATA_HOME": "/data",
        },
    )
    assert config.server.port == 8080
    assert config.server.stun == ("stun:a", "stun:b")
    assert config.models.device_of("llm") == "auto"
    assert config.cost.usd_per_kwh == Decimal("0.30")
    assert config.records.path == Path.home() / "x.sqlite3"


def test_every_key_can_be_set_by_the_environment(toml: Path) -> None:
    for section, field in keys_of(Config).items():
        shape, below = shape_of(field.annotation) or pytest.fail(section)
        table = f"{section}__own" if shape == "tables" else section
        for key in keys_of(below):
            with pytest.raises(ConfigError, match=f"OFFHOOK_{table}__{key}".upper()):
                load_config(None, {f"OFFHOOK_{table}__{key}x".upper(): "1"})
    assert load_config(None, {"XDG_DATA_HOME": "/data"}).records.path == Path(
        "/data/offhook/calls.sqlite3"
    )


def test_other_variables_are_left_alone(toml: Path) -> None:
    assert load_config(None, {"OFFHOOK_LOG": "x", "PATH": "/bin"}) == load_config(None, {})


def test_where_records_are_kept(toml: Path) -> None:
    variables = {"XDG_DATA_HOME": "/data", "OFFHOOK_HOME": "/own"}
    assert load_config(None, variables).records.path == Path("/own/calls.sqlite3")
    toml.write_text("[records]\npath = '/here/calls.sqlite3'")
    assert load_config(toml, variables).records.path == Path("/here/calls.sqlite3")


def test_the_page_about_settings_lists_every_key_with_its_default() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
    headers = r"^## \[+(\w+)(?:\.NAME)?\]+\n(.*?)(?=^## |\Z)"
    found = re.findall(headers, page.read_text(), re.M | re.S)
    sections = dict(found)
    assert list(sections) == list(keys_of(Config))
    for section, text in sections.items():
        _, below = shape_of(keys_of(Config)[section].annotation) or pytest.fail(section)
        rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.M))
        assert list(rows) == list(keys_of(below))
        for key, shown in rows.items():
            field = keys_of(below)[key]
            written = "none" if field.default is None else f"`{toml_text(field.default)}`"
            written = "required" if field.is_required() else written
            assert shown == written, f"{key} in [{section}]"


def toml_text(value: object) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, default=str)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[llm]\nmax_tokens = 3\ntemprature = 0.3\n",
            "offhook.toml:3: unknown key `temprature` in [llm]; did you mean `temperature`?",
        ),
        ("[agnt]\n", "offhook.toml:1: unknown section [agnt]; did you mean [agent]?"),
        ("\nport = 3\n", "offhook.toml:2: unknown key `port` outside any section; "
         "it belongs in [server]"),
        ("[llm]\ngreeting = 'x'", "offhook.toml:2: unknown key `greeting` in [llm]; "
         "it belongs in [agent]"),
        ("[records]\nzzz = 1", "offhook.toml:2: unknown key `zzz` in [records]; keys: path"),
        ('[server]\nport = "80"', "offhook.toml:2: `port` in [server] must be a valid integer, "
         "not '80'"),
        ("[server]\nport = 99999", "offhook.toml:2: `port` in [server] must be less than or equal "
         "to 65535, not 99999"),
        ("[turn]\nvad_confidence = nan", "offhook.toml:2: `vad_confidence` in [turn] must be a "
         "finite number, not nan"),
        ("[agent]\nname = 1979-05-27", "offhook.toml:2: `name` in [agent] must be a valid string, "
         "not a date or time"),
        ("[models]\ndevice = 'gpu'", "offhook.toml:2: `device` in [models] must be 'auto', 'cpu' "
         "or 'cuda', not 'gpu'"),
        ("server = 3", "offhook.toml:1: [server] must be a table: write [server], and its keys "
         "below"),
        ("models.sttt = 'x'", "offhook.toml:1: unknown key `sttt` in [models]; did you mean "
         "`stt`?"),
        ("[turn]\nstop_s = 2", "`max_wait_s` in [turn] is 1.4, shorter than `stop_s`, 2"),
        ("[llm]\nendpoint = 'http://x/v1'", "offhook.toml:2: `endpoint` in [llm] needs `model`"),
        ("[llm]\napi_key_env = 'NO_SUCH'", "names NO_SUCH, which is not set"),
        ("[[agent.menu]]\nkey = '1'\nhang_up = true\n[[agent.menu]]\nkye = '2'", "offhook.toml:5: "
         "unknown key `kye` in entry 2 of [[agent.menu]]; did you mean `key`?"),
        ("[[agent.menu]]\nkey = '12'", "offhook.toml:2: `key` in entry 1 of [[agent.menu]] must "
         "be like pattern '^[0-9A-D*#]$', not '12'"),
        ("[agent]\nname = ''", "offhook.toml:2: `name` in [agent] must have at least 1 character"),
        ("[[agent.menu]]\nkey = '1'\nhang_up = true\nanswer = 'x'", "offhook.toml:2: `key` in "
         "entry 1 of [[agent.menu]] is '1', which must do one thing"),
        ("[agent]\nname = 'A'\nmenu = [{key = '1', hang_up = true}, {key = '1', answer = 'x'}]",
         "offhook.toml:3: `menu` in [agent] gives the key '1' more than one entry"),
        ("[agent]\nmenu = [3]", "offhook.toml:2: entry 1 of [[agent.menu]] must be a table"),
        ("[server\nport = 3", "offhook.toml:1: not valid TOML: "),
        ("[server]\nport = 3\nport = 4\n", "offhook.toml:3: not valid TOML: "),
        ("[server]\nhost = 'x", "offhook.toml:2: not valid TOML: "),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(toml: Path, text: str, message: str) -> None:
    assert message in complaint(toml, text)


def test_every_mistake_is_named_at_once(toml: Path) -> None:
    message = complaint(toml, '[server]\nport = "1"\n[llm]\ntop_p = 7\nfoo = 1\n')
    assert re.findall(r"offhook.toml:(\d+)", message) == ["2", "4", "5"]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("OFFHOOK_SERVER__PORT", "http", "OFFHOOK_SERVER__PORT: `port` in [server] must be"),
        ("OFFHOOK_SERVR__PORT", "1", "OFFHOOK_SERVR__PORT: unknown section [servr]; did you mean"),
        ("OFFHOOK_LLM__TEMPRATURE", "1", "OFFHOOK_LLM__TEMPRATURE: unknown key `temprature`"),
    ],
)
def test_a_mistake_in_a_variable_names_it(
    toml: Path, variable: str, value: str, message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(None, {variable: value})
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "box.example.org"])
def test_off_loopback_needs_a_token(toml: Path, host: str) -> None:
    message = complaint(toml, f"[server]\nhost = '{host}'")
    assert message.startswith("offhook.toml:2: `host`") and "OFFHOOK_TOKEN" in message
    assert load_config(toml, {"OFFHOOK_TOKEN": "t"}).server.host == host
    with pytest.raises(ConfigError):
        load_config(toml, {"OFFHOOK_SERVER__TOKEN": ""})


def test_loopback() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))


def test_the_token_is_never_shown(toml: Path) -> None:
    config = load_config(None, {"OFFHOOK_TOKEN": "hush-hush"})
    shown = repr(config) + str(config) + config.model_dump_json()
    assert "hush-hush" not in shown
    assert config.server.token is not None
    assert config.server.token.get_secret_value() == "hush-hush"
    assert "4711" not in complaint(toml, "[server]\ntoken = 4711")


def test_the_tree_is_frozen(toml: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config(None, {}).server.port = 3  # type: ignore[misc]


def test_the_endpoints_key_comes_from_its_variable(toml: Path) -> None:
    toml.write_text("[llm]\nendpoint='http://x/v1'\nmodel='m'\napi_key_env='K'\n")
    assert load_config(toml, {"K": "secret"}).llm.api_key({"K": "secret"}) == "secret"


def test_unreadable_files(toml: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(toml, {})
    toml.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(toml, {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(toml.parent, {})


def test_lines_of_keys() -> None:
    text = "\n".join(
        [
            "# [x]",  # 1
            "top = 1",  # 2
            "[server] # here",  # 3
            'stun = ["a", # ]',  # 4
            '  "b]"]',  # 5
            'host = """',  # 6
            "[no]",  # 7
            'port = 1"""',  # 8
            "token = '''x",  # 9
            "y'''",  # 10
            '"quo ted".a = 1',  # 11
            "[[many.'x y']]",  # 12
            "a = {b = [",  # 13
            "1]}",  # 14
            "c = 1",  # 15
            "[many.'x y'.below]",  # 16
            "[[many.'x y']] # again",  # 17
            "a = 1",  # 18
        ]
    )
    assert key_lines(text) == {
        ("top",): 2,
        ("server",): 3,
        ("server", "stun"): 4,
        ("server", "host"): 6,
        ("server", "token"): 9,
        ("server", "quo ted"): 11,
        ("server", "quo ted", "a"): 11,
        ("many",): 12,
        ("many", "x y"): 12,
        ("many", "x y", "0"): 12,
        ("many", "x y", "0", "a"): 13,
        ("many", "x y", "0", "c"): 15,
        ("many", "x y", "0", "below"): 16,
        ("many", "x y", "1"): 17,
        ("many", "x y", "1", "a"): 18,
    }


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "# c", "", 's = """', "x = [", "1,", "]", '"""'])))
def test_lines_of_any_valid_toml(lines: list[str]) -> None:
    text = "\n".join(f"k{n} = '{line}'" if n % 2 else "" for n, line in enumerate(lines))
    expected = {(f"k{n}",): n + 1 for n in range(len(lines)) if n % 2}
    assert key_lines(text) == expected
