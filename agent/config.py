"""The settings: one frozen tree, read from one TOML file and the environment.

The environment wins over the file: ``OFFHOOK_SERVER__PORT=8080`` is ``port`` in
``[server]``, and every key has such a name. More names are read: ``OFFHOOK_TOKEN`` is the
access token, ``OFFHOOK_CONFIG`` the file, where the command names none, and ``OFFHOOK_HOME``
the folder for what the box keeps.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from agent.budget_section import BudgetConfig, budget_faults
from agent.carrier_section import CarriersConfig
from agent.config_errors import complaint, line_of, syntax_complaint
from agent.phone_sections import OWN_PROFILE, SipConfig, TrunkConfig, profile_faults, trunk_faults
from agent.sections import (
    AgentConfig,
    CallsConfig,
    ConfigError,
    CostConfig,
    LlmConfig,
    ModelsConfig,
    ProfileConfig,
    RecordsConfig,
    Section,
    ServerConfig,
    TurnConfig,
    is_loopback,
)
from agent.settings_environment import variables_of, with_variables
from agent.settings_tree import place_of, tables_in, title
from agent.telemetry_section import TelemetryConfig
from agent.toml_lines import KeyPath, key_lines
from agent.worker_section import WorkersConfig

__all__ = [
    "Config",
    "ConfigError",
    "CostConfig",
    "ModelsConfig",
    "ServerConfig",
    "default_records_path",
    "is_loopback",
    "load_config",
    "settings_file",
]

DEFAULT_FILE = "offhook.toml"


TableName = Annotated[str, Field(pattern=r"^[a-z0-9]+([-_][a-z0-9]+)*$", max_length=40)]


class Config(Section):
    """The whole tree."""

    server: ServerConfig = ServerConfig()
    sip: SipConfig = SipConfig()
    trunks: dict[TableName, TrunkConfig] = {}
    carriers: CarriersConfig = CarriersConfig()
    agent: AgentConfig = AgentConfig()
    profiles: dict[TableName, ProfileConfig] = {}
    models: ModelsConfig = ModelsConfig()
    llm: LlmConfig = LlmConfig()
    turn: TurnConfig = TurnConfig()
    calls: CallsConfig = CallsConfig()
    workers: WorkersConfig = WorkersConfig()
    records: RecordsConfig = RecordsConfig()
    cost: CostConfig = CostConfig()
    budgets: tuple[BudgetConfig, ...] = ()
    telemetry: TelemetryConfig = TelemetryConfig()

    def for_profile(self, name: str) -> "Config":
        """These settings with ``name`` as the agent; ``agent`` or nothing: as they are.

        Raises KeyError where there is no such profile.
        """
        if name in ("", OWN_PROFILE):
            return self
        return self.model_copy(update={"agent": self.agent.with_profile(self.profiles[name])})


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Reads the file, then the environment over it.

    Without ``path``: the file that ``OFFHOOK_CONFIG`` names, else ``offhook.toml`` in the
    current folder where there is one, else the defaults. Raises ConfigError.
    """
    path = settings_file(path, environ)
    tree, lines = _read(path) if path else ({}, {})
    label = str(path) if path else ""
    variables = variables_of(environ, Config, tree)

    def where(key: KeyPath) -> str:
        for length in range(len(key), 0, -1):
            if key[:length] in variables:
                return f"{variables[key[:length]]}: "
            if key[:length] in lines:
                break
            setters = [v for path, v in variables.items() if path[:length] == key[:length]]
            if setters:
                return f"{setters[0]}: "
        return line_of(label, lines, key)

    # The file is judged strictly (a port in quotes is a mistake), variables are all text.
    _validate(
        lambda: Config.model_validate_json(_as_json(tree), strict=True),
        tree,
        lambda key: line_of(label, lines, key),
    )
    merged = with_variables(tree, variables, environ, Config)
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
        raise ConfigError(syntax_complaint(str(path), text, str(error))) from error


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
            where(place_of(Config, d["loc"]).path) + complaint(d, Config, tree)
            for d in error.errors(include_url=False, include_context=False)
        ]
    raise ConfigError("\n".join(dict.fromkeys(messages)))


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
    """What no key, or no table, can be judged for alone."""
    faults = [
        (table, key, fault)
        for table, section in tables_in(config)
        for key, fault in section.faults(environ)
    ]
    faults += trunk_faults(config.sip, config.trunks)
    faults += budget_faults(config.budgets, config.profiles, config.trunks)
    faults += profile_faults(config.trunks, config.carriers.numbers, tuple(config.profiles))
    messages = [f"{where((*t, key))}`{key}` in {title(t)} {fault}" for t, key, fault in faults]
    if messages:
        raise ConfigError("\n".join(messages))
