"""The settings: one frozen tree, read from one TOML file and the environment.

The environment wins over the file: ``OFFHOOK_SERVER__PORT=8080`` is ``port`` in
``[server]``, and every key has such a name. More names are read: ``OFFHOOK_TOKEN`` is the
access token, ``OFFHOOK_CONFIG`` the file, where the command names none, and ``OFFHOOK_HOME``
the folder for what the box keeps.
"""

import difflib
import ipaddress
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from agent.toml_lines import KeyPath, key_lines

ENV_PREFIX = "OFFHOOK_"
DEFAULT_FILE = "offhook.toml"

SYSTEM_PROMPT = (
    "You are {name}, a friendly assistant on the telephone. Answer in one or two short, plain "
    "sentences. Use simple words. Never use lists, headings or symbols. If you do not know, "
    "say so and ask one short question."
)

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Threads = Annotated[int, Field(ge=1, le=256)]
Device = Literal["auto", "cpu", "cuda"]
Name = Annotated[str, Field(min_length=1)]


class ConfigError(Exception):
    """A setting is wrong; the message names it, where it stands and what is allowed."""


class Section(BaseModel):
    """What every section is: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ServerConfig(Section):
    """Where the box listens, and who may call."""

    host: Name = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 7860
    """0 takes any free port."""
    token: SecretStr | None = None
    """What a client must show; required off loopback. Prefer ``OFFHOOK_TOKEN``."""
    stun: tuple[str, ...] = ()
    """STUN server addresses, such as ``stun:stun.example.org:3478``."""


class AgentConfig(Section):
    """Who answers."""

    name: Name = "Joe"
    language: Name = "en"
    """BCP 47 tag."""
    system_prompt: str = SYSTEM_PROMPT
    """``{name}`` stands for the agent's name."""
    greeting: str = "Hello, this is Offhook. How can I help you?"
    """Spoken first; empty waits for the caller."""

    @property
    def persona(self) -> str:
        """The system prompt with the agent's name in it."""
        return self.system_prompt.replace("{name}", self.name)


class ModelsConfig(Section):
    """Which models, on which device: names of the catalogue, or paths."""

    stt: Name = "whisper-tiny.en"
    llm: Name = "smollm2-135m-instruct"
    tts: Name = "piper-en_US-joe-medium"
    vad: Name = "silero"
    turn: Name = "smart-turn-v3.2"
    device: Device = "auto"
    """``auto`` takes CUDA where it is usable, else the CPU."""
    stt_device: Device | None = None
    """Over ``device`` for this stage alone; so are the next two."""
    llm_device: Device | None = None
    tts_device: Device | None = None
    stt_threads: Threads = 1
    llm_threads: Threads = 1
    """A second thread helps prompts on idle cores and slows answers on busy ones."""
    llm_requantise: Literal["auto", "yes", "no"] = "auto"
    """Use a Q4_0 copy of the GGUF, made once: faster on processors, a little worse in words.
    ``auto``: where its weights are Q4_1; ``yes``: from any format that gains by it."""
    tts_threads: Threads = 1

    def device_of(self, stage: Literal["stt", "llm", "tts"]) -> Device:
        """The device asked for at ``stage``."""
        wanted: dict[str, Device | None] = {
            "stt": self.stt_device,
            "llm": self.llm_device,
            "tts": self.tts_device,
        }
        return wanted[stage] or self.device


class LlmConfig(Section):
    """How the language model answers, and where it is when it is not in the box."""

    endpoint: str | None = Field(default=None, pattern=r"^https?://")
    """Base URL of an OpenAI-compatible server; None: the local model."""
    model: str | None = None
    """The endpoint's name of the model."""
    api_key_env: str | None = None
    """The environment variable that holds the endpoint's key."""
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 60
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.95
    repeat_penalty: Annotated[float, Field(ge=0.5, le=2, allow_inf_nan=False)] = 1.1
    context_tokens: Annotated[int, Field(ge=256, le=131072)] = 2048
    """Room for one call's prompt and answer."""

    def api_key(self, environ: Mapping[str, str]) -> str | None:
        """The endpoint's key; None where none is needed. Raises ConfigError where it is unset."""
        if self.api_key_env is None:
            return None
        key = environ.get(self.api_key_env)
        if not key:
            raise ConfigError(
                f"`api_key_env` in [llm] names {self.api_key_env}, which is not set; "
                f"export {self.api_key_env}=... or remove the key"
            )
        return key


class TurnConfig(Section):
    """When the caller has begun, has finished, and has interrupted."""

    vad_confidence: Probability = 0.6
    """Speech probability from which a window counts as voiced."""
    start_s: NotNegative = 0.1
    """Voiced time that makes it speech."""
    stop_s: Positive = 0.2
    """Silence before the turn model is asked."""
    complete_probability: Probability = 0.5
    """From here the turn model's word ends the turn."""
    max_wait_s: Positive = 1.5
    """Silence after which the turn is over whatever the model says."""
    min_speech_s: NotNegative = 0.25
    """Less voiced time than this is no turn."""
    barge_in_s: NotNegative = 0.25
    """Voiced time that silences the agent."""


class CallsConfig(Section):
    """How many calls, and how long."""

    max_calls: Annotated[int, Field(ge=1, le=10000)] = 4
    max_call_s: Positive = 3600
    silence_hangup_s: Positive = 600
    """Hang up after this long without the caller's speech."""
    drain_s: NotNegative = 5
    """On shutdown, how long calls may finish."""


class RecordsConfig(Section):
    """Where call records are kept."""

    path: Path = Path("~/.local/share/offhook/calls.sqlite3")
    """SQLite file; unless given, under ``$OFFHOOK_HOME`` or ``$XDG_DATA_HOME`` where set."""


class CostConfig(Section):
    """What the box costs: a row of the rate file, and what differs from it here."""

    rates: Path | None = None
    """A rate file of one's own; None: the one that ships."""
    hardware: Name = "generic-2-core-server"
    usd_per_hour: Decimal | None = Field(default=None, ge=0)
    """Over the row's purchase or rent."""
    usd_per_kwh: Decimal | None = Field(default=None, ge=0)
    watts_idle: Decimal | None = Field(default=None, ge=0)
    watts_busy: Decimal | None = Field(default=None, ge=0)


class Config(Section):
    """The whole tree."""

    server: ServerConfig = ServerConfig()
    agent: AgentConfig = AgentConfig()
    models: ModelsConfig = ModelsConfig()
    llm: LlmConfig = LlmConfig()
    turn: TurnConfig = TurnConfig()
    calls: CallsConfig = CallsConfig()
    records: RecordsConfig = RecordsConfig()
    cost: CostConfig = CostConfig()


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Reads the file, then the environment over it.

    Without ``path``: the file that ``OFFHOOK_CONFIG`` names, else ``offhook.toml`` in the
    current folder where there is one, else the defaults. Raises ConfigError.
    """
    path = settings_file(path, environ)
    tree, lines = _read(path) if path else ({}, {})
    label = str(path) if path else ""
    variables = _variables(environ)

    def where(key: KeyPath) -> str:
        if key in variables:
            return f"{variables[key]}: "
        setters = [v for k, v in variables.items() if k[0] == key[0]]
        if len(key) == 1 and key not in lines and setters:
            return f"{setters[0]}: "
        return _place(label, lines, key)

    # The file is judged strictly (a port in quotes is a mistake), variables are all text.
    _validate(
        lambda: Config.model_validate_json(_as_json(tree), strict=True),
        tree,
        lambda key: _place(label, lines, key),
    )
    merged = _with_environment(tree, variables, environ)
    config = _validate(lambda: Config.model_validate(merged), merged, where)
    config = _with_records_path(config, environ)
    _check_together(config, environ, where)
    return config


def default_records_path(environ: Mapping[str, str]) -> Path:
    """Where call records are kept unless the settings say otherwise."""
    if own := environ.get("OFFHOOK_HOME"):
        return Path(own, "calls.sqlite3")
    data = environ.get("XDG_DATA_HOME")
    return Path(data, "offhook", "calls.sqlite3") if data else RecordsConfig().path


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def settings_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file that `load_config` reads; None: the defaults and the environment alone."""
    if path is not None:
        return path
    if named := environ.get("OFFHOOK_CONFIG"):
        return Path(named)
    here = Path(DEFAULT_FILE)
    return here if here.is_file() else None


def _read(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name an existing TOML file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    try:
        return tomllib.loads(text), key_lines(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax(str(path), text, str(error))) from error


def _syntax(label: str, text: str, error: str) -> str:
    """Moves the line from the end of tomllib's message to the front."""
    reason, _, place = error.rpartition(" (at ")
    found = re.match(r"line (\d+)", place)
    line = int(found[1]) if found else text.rstrip("\n").count("\n") + 1
    return f"{label}:{line}: not valid TOML: {reason or error}"


def _place(label: str, lines: Mapping[KeyPath, int], key: KeyPath) -> str:
    for length in range(len(key), 0, -1):
        if key[:length] in lines:
            return f"{label}:{lines[key[:length]]}: "
    return f"{label}: " if label else ""


def _variables(environ: Mapping[str, str]) -> dict[KeyPath, str]:
    """Which key each ``OFFHOOK_SECTION__KEY`` variable sets."""
    found: dict[KeyPath, str] = {}
    if environ.get("OFFHOOK_TOKEN"):
        found["server", "token"] = "OFFHOOK_TOKEN"
    for variable in sorted(environ):
        section, separator, key = variable.removeprefix(ENV_PREFIX).lower().partition("__")
        if variable.startswith(ENV_PREFIX) and separator:
            found[section, key] = variable
    return found


def _with_environment(
    tree: Mapping[str, Any], variables: Mapping[KeyPath, str], environ: Mapping[str, str]
) -> dict[str, Any]:
    merged = {section: dict(keys) for section, keys in tree.items()}
    for (section, key), variable in variables.items():
        text = environ[variable]
        value: str | list[str] | None = text
        field = _fields(section).get(key)
        if field is not None and text == "" and type(None) in get_args(field.annotation):
            value = None
        elif field is not None and get_origin(field.annotation) is tuple:
            value = [item.strip() for item in text.split(",") if item.strip()]
        merged.setdefault(section, {})[key] = value
    return merged


def _fields(section: str) -> Mapping[str, FieldInfo]:
    known = Config.model_fields.get(section)
    annotation = known.annotation if known else None
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation.model_fields
    return {}


def _as_json(tree: Mapping[str, Any]) -> str:
    """TOML's dates become objects, which no key allows."""
    return json.dumps(tree, default=lambda value: {"date": str(value)})


def _validate(
    build: Callable[[], Config], tree: Mapping[str, Any], where: Callable[[KeyPath], str]
) -> Config:
    try:
        return build()
    except ValidationError as error:
        # Pydantic's own exception would show the values, secrets among them.
        messages = [
            where(_key(d["loc"])) + _explain(d, tree)
            for d in error.errors(include_url=False, include_context=False)
        ]
    raise ConfigError("\n".join(dict.fromkeys(messages)))


def _key(loc: Sequence[int | str]) -> KeyPath:
    return tuple(str(part) for part in loc[:2])


def _explain(detail: ErrorDetails, tree: Mapping[str, Any]) -> str:
    key = _key(detail["loc"])
    if detail["type"] == "extra_forbidden":
        return _unknown(key, tree)
    if len(key) == 1:
        return f"[{key[0]}] must be a table: write [{key[0]}], and its keys below"
    allowed = detail["msg"].replace("Input should", "must").replace("must match", "must be like")
    shown = "" if key == ("server", "token") else f", not {_show(detail['input'])}"
    return f"`{key[1]}` in [{key[0]}] {allowed}{shown}"


def _show(value: object) -> str:
    text = "a date or time" if isinstance(value, dict) and "date" in value else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown(key: KeyPath, tree: Mapping[str, Any]) -> str:
    known: tuple[str, ...] = ()
    if len(key) == 1:
        (name,) = key
        if not isinstance(tree.get(name), dict):
            message = f"unknown key `{name}` outside any section"
        else:
            message, known = f"unknown section [{name}]", tuple(Config.model_fields)
        hint = _nearest(name, known, "[{}]") or _elsewhere(name)
        return message + (hint or "; sections: " + ", ".join(Config.model_fields))
    section, name = key
    known = tuple(_fields(section))
    if not known:
        return _unknown(key[:1], {section: {}})
    message = f"unknown key `{name}` in [{section}]"
    hint = _nearest(name, known, "`{}`") or _elsewhere(name)
    return message + (hint or "; keys: " + ", ".join(known))


def _nearest(name: str, known: Sequence[str], form: str) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"; did you mean {form.format(near[0])}?" if near else ""


def _elsewhere(name: str) -> str:
    homes = [section for section in Config.model_fields if name in _fields(section)]
    return f"; it belongs in [{homes[0]}]" if homes else ""


def _with_records_path(config: Config, environ: Mapping[str, str]) -> Config:
    records = config.records
    given = "path" in records.model_fields_set
    path = records.path if given else default_records_path(environ)
    return config.model_copy(
        update={"records": records.model_copy(update={"path": path.expanduser()})}
    )


def _check_together(
    config: Config, environ: Mapping[str, str], where: Callable[[KeyPath], str]
) -> None:
    """What no key can be judged for alone."""
    server, llm, turn = config.server, config.llm, config.turn
    if not is_loopback(server.host) and not (server.token and server.token.get_secret_value()):
        raise ConfigError(
            f"{where(('server', 'host'))}`host` in [server] is {server.host!r}, which other "
            "machines can reach, so an access token is required: set the variable OFFHOOK_TOKEN "
            "(for example to the output of `openssl rand -hex 16`), or listen on 127.0.0.1"
        )
    if llm.endpoint and not llm.model:
        raise ConfigError(
            f"{where(('llm', 'endpoint'))}`endpoint` in [llm] needs `model`, "
            "the name by which that server knows the model"
        )
    if turn.max_wait_s < turn.stop_s:
        raise ConfigError(
            f"{where(('turn', 'max_wait_s'))}`max_wait_s` in [turn] is {turn.max_wait_s:g}, "
            f"shorter than `stop_s`, {turn.stop_s:g}; raise it, or lower `stop_s`"
        )
    llm.api_key(environ)
