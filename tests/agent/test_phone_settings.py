"""Settings of the telephone: SIP, trunks, profiles, and what is said when one is wrong."""

from pathlib import Path

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import ConfigError, load_config


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "offhook.toml"


def complaint(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_config(Path(path.name), {})
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[sip]\nalow = ['192.0.2.0/24']",
            "offhook.toml:2: unknown key `alow` in [sip]; did you mean `allow`?",
        ),
        (
            "[sip]\nallow = ['192.0.2.1', '192.0.2.1/24']",
            "offhook.toml:2: `allow` in [sip] must be an address or a network in numbers, such",
        ),
        (
            "[sip]\nhost = 'localhost'",
            "offhook.toml:2: `host` in [sip] must be an address in numbers",
        ),
        (
            "[sip]\nrtp_ports = '20000'",
            "offhook.toml:2: `rtp_ports` in [sip] must be a range",
        ),
        (
            "[sip]\nrtp_ports = '30000-20000'",
            "must be a range of at least 4 ports",
        ),
        (
            "[sip]\ncodecs = []",
            "offhook.toml:2: `codecs` in [sip] must have at least 1 item",
        ),
        (
            "[sip]\ncodecs = ['g729']",
            "offhook.toml:2: `codecs` in [sip] must be 'opus', 'g722'",
        ),
        (
            "[sip]\ntls_certificate = 'no.pem'",
            "offhook.toml:2: `tls_certificate` in [sip] is 'no.pem', and there is no such file",
        ),
        (
            "[trunks.tls]\nhost = '127.0.0.1'",
            "offhook.toml:1: `tls` in [trunks] is what a transport is called",
        ),
        (
            "[trunks]\nhost = 'h'",
            "offhook.toml:2: `host` in [trunks] must be a table: write [trunks.NAME], and its",
        ),
        (
            "trunks = 3",
            "offhook.toml:1: [trunks] must be a table: write [trunks]",
        ),
        (
            "[trunks.Sip_A]\nhost = 'h'",
            "offhook.toml:1: `Sip_A` in [trunks] is no name for a table",
        ),
        (
            "[trunks.a]\nusername = 'u'",
            "offhook.toml:1: `host` in [trunks.a] is missing",
        ),
        (
            "[trunks.a]\nhost = 'sip:h'",
            "offhook.toml:2: `host` in [trunks.a] must be a name or an address, and a port where",
        ),
        (
            "[trunks.a]\nhost = 'h:99999'",
            "not 'h:99999'",
        ),
        (
            "[trunks.a]\nhots = 'h'",
            "offhook.toml:2: unknown key `hots` in [trunks.a]; did you mean `host`?",
        ),
        (
            "[trunks.a]\nhost = 'h'\n[trunks.a.numbers]\n'+15551234567' = 3",
            "offhook.toml:3: `numbers` in [trunks.a] must be a valid string, not 3",
        ),
        (
            "[trunks.a]\nhost = 'h'\nnumbers = {'+15551234567' = 'agent', '15551234567' = 'agent'}",
            "offhook.toml:3: `numbers` in [trunks.a] names '+15551234567' more than once",
        ),
        (
            "[trunks.a]\nhost = 'h'\nprofile = 'sales'",
            "offhook.toml:3: `profile` in [trunks.a] names the profile 'sales', which is none;",
        ),
        (
            "[trunks.a]\nhost = 'h'\ndestinations = ['+1', '1-555']",
            "offhook.toml:3: `destinations` in [trunks.a] must be an international prefix such",
        ),
        (
            "[trunks.a]\nhost = 'h'\ncaller_id = 'me'",
            "offhook.toml:3: `caller_id` in [trunks.a] must be a telephone number",
        ),
        (
            "[trunks.a]\nhost = 'h'\nregister = true",
            "offhook.toml:3: `register` in [trunks.a] needs `username`, and `password`",
        ),
        (
            "[trunks.a]\nhost = 'h'\npassword = 'p'",
            "offhook.toml:3: `password` in [trunks.a] needs `username`",
        ),
        (
            "[trunks.a]\nhost = 'h'\nusername = 'u'\npassword_env = 'NO_SUCH'",
            "offhook.toml:4: `password_env` in [trunks.a] names NO_SUCH, which is not set",
        ),
        (
            "[trunks.a]\nhost = 'h'",
            "offhook.toml:2: `host` in [trunks.a] is 'h', which 127.0.0.1, the address of the",
        ),
        (
            "[profiles.sales]\nvoice = 'x'",
            "offhook.toml:2: unknown key `voice` in [profiles.sales]; keys: name, language",
        ),
        (
            "[profiles.agent]\nname = 'x'",
            "offhook.toml:1: `agent` in [profiles] is what [agent] itself",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(toml: Path, text: str, message: str) -> None:
    assert message in complaint(toml, text)


TRUNK = """
[sip]
host = "192.0.2.1"

[trunks.the-carrier]
host = "sip.carrier.example"
username = "me"
numbers = { "+15551234567" = "sales" }

[profiles.sales]
name = "Ada"
"""


def test_a_trunk_and_its_profile(toml: Path) -> None:
    toml.write_text(TRUNK + "[agent]\nname = 'Joe'\ngreeting = 'Hello.'\n")
    config = load_config(toml, {"OFFHOOK_TRUNKS__THE_CARRIER__PASSWORD": "hush-hush"})
    trunk = config.trunks["the-carrier"]
    assert trunk.secret({}) == "hush-hush" and "hush-hush" not in repr(config)
    assert not trunk.registers and trunk.destinations == trunk.allow == ()
    sales = config.for_profile("sales").agent
    assert (sales.name, sales.greeting) == ("Ada", "Hello.")
    assert config.for_profile("").agent == config.for_profile("agent").agent == config.agent
    with pytest.raises(KeyError):
        config.for_profile("other")


def test_a_trunk_from_the_environment_alone(toml: Path) -> None:
    config = load_config(
        None,
        {
            "OFFHOOK_SIP__HOST": "192.0.2.1",
            "OFFHOOK_TRUNKS__PBX__HOST": "pbx.example",
            "OFFHOOK_TRUNKS__PBX__USERNAME": "200",
            "OFFHOOK_TRUNKS__PBX__PASSWORD_ENV": "PBX_PASSWORD",
            "PBX_PASSWORD": "hush",
            "OFFHOOK_TRUNKS__PBX__REGISTER": "true",
            "OFFHOOK_TRUNKS__PBX__ALLOW": "192.0.2.7, 198.51.100.0/24",
            "OFFHOOK_TRUNKS__PBX__NUMBERS": "+15551234567=sales, 200=agent",
            "OFFHOOK_TRUNKS__PBX__CALLER_ID": "+1 555 123-4567",
            "OFFHOOK_PROFILES__SALES__MENU": '[{"key": "1", "hang_up": true}]',
        },
    )
    trunk = config.trunks["pbx"]
    assert trunk.registers and trunk.secret({"PBX_PASSWORD": "hush"}) == "hush"
    assert trunk.allow == ("192.0.2.7", "198.51.100.0/24")
    assert trunk.numbers == {"+15551234567": "sales", "200": "agent"}
    assert trunk.caller_id == "+15551234567"
    (entry,) = config.for_profile("sales").agent.menu
    assert (entry.key, entry.hang_up) == ("1", True)


def test_a_mistake_in_a_trunks_variable_names_it(toml: Path) -> None:
    toml.write_text(TRUNK)
    for key, value, words in (
        ("MAX_CALLS", "0", "`max_calls` in [trunks.the-carrier] must be greater"),
        ("NUMBERS", "sales", "`numbers` in [trunks.the-carrier] must be a valid dictionary"),
        ("MENU", "x", "unknown key `menu` in [trunks.the-carrier]"),
        ("PASSWORD_ENV", "NO_SUCH", "`password_env` in [trunks.the-carrier] names NO_SUCH"),
    ):
        variable = f"OFFHOOK_TRUNKS__THE_CARRIER__{key}"
        with pytest.raises(ConfigError) as raised:
            load_config(toml, {variable: value})
        assert str(raised.value).startswith(f"{variable}: {words}")
    with pytest.raises(ConfigError) as raised:
        load_config(None, {"OFFHOOK_AGENT__MENU": "not JSON"})
    assert str(raised.value).startswith("OFFHOOK_AGENT__MENU: `menu` in [agent] must be a valid")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("[trunks.a]\nhost = 'h'\npassword = 4711", "4711"),
        ("[trunks.a]\npassword = 'hush-hush'", "hush-hush"),
        ("[trunks.a]\nhost = 'h'\npassword = 'hush-hush'", "hush-hush"),
        ("[trunks]\na = 'hush-hush'", "hush-hush"),
        ("[trunks.a.password]\nx = 'hush-hush'", "hush-hush"),
        ("trunks = ['hush-hush']", "hush-hush"),
    ],
)
def test_a_trunks_password_is_never_shown(toml: Path, text: str, secret: str) -> None:
    assert secret not in complaint(toml, text)


SECRET = "hush-hush"
NAMES = st.sampled_from(
    ["server", "sip", "trunks", "profiles", "agent", "menu", "a", "Bad Name", "host", "port",
     "numbers", "allow", "password", "key", "x", "0", ""]
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=3)),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(NAMES, below, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(NAMES, VALUES, max_size=3), VALUES)
def test_any_valid_toml_is_taken_or_complained_about(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, object], password: object
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    trunk = {"hosts": "h", "password": SECRET, "numbers": password, "caller_id": SECRET[:0]}
    file.write_text(tomlkit.dumps({**tree, "trunks": {"a": trunk, "b": password}}))
    with pytest.raises(ConfigError) as raised:
        load_config(file, {})
    assert f"{file}:" in str(raised.value) and SECRET not in str(raised.value)
