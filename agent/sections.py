"""The sections of the settings: what each may hold, and its defaults.

The telephone's own are in `agent.phone_sections`; `agent.config` reads the file and makes one
tree of all.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from agent.records.address import fault, has_password
from agent.redaction import Redacted
from agent.threads import Threads, Wanted, cores_here, share

SYSTEM_PROMPT = (
    "You are {name}, a friendly assistant on the telephone. Answer in one or two short, plain "
    "sentences. Use simple words. Never use lists, headings or symbols. If you do not know, "
    "say so and ask one short question."
)

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
MOST_THREADS = 256
Device = Literal["auto", "cpu", "cuda"]
DEFAULT_CALLS = 4
"""Calls at once on a machine that was not measured."""
MOST_CALLS = 10_000


def _auto_or_up_to(most: int) -> WrapValidator:
    def check(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        # Pydantic would complain once for each of the two.
        try:
            return read(value)
        except ValidationError:
            raise ValueError(f'must be "auto" or a whole number of 1 to {most}') from None

    return WrapValidator(check)


MaxCalls = Annotated[
    Annotated[int, Field(ge=1, le=MOST_CALLS)] | Literal["auto"], _auto_or_up_to(MOST_CALLS)
]
ThreadsWanted = Annotated[
    Annotated[int, Field(ge=1, le=MOST_THREADS)] | Literal["auto"], _auto_or_up_to(MOST_THREADS)
]
Name = Annotated[str, Field(min_length=1)]
Label = Annotated[str, Field(max_length=80)]
Dollars = Annotated[Decimal, Field(ge=0)]


def _written_day(value: Any) -> Any:
    """A day as TOML has it, which reaches the model as a table, or as text."""
    text = value.get("date") if isinstance(value, dict) and len(value) == 1 else value
    try:
        return date.fromisoformat(text) if isinstance(text, str) else value
    except ValueError:
        raise ValueError("must be a day, such as 2026-11-30") from None


Day = Annotated[date, BeforeValidator(_written_day)]


class ConfigError(Exception):
    """A setting is wrong; the message names it, where it stands and what is allowed."""


class Section(BaseModel):
    """What every table of the settings is: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """What no key can be judged for alone: a key, and what to say after its name."""
        return iter(())


class ServerConfig(Section):
    """Where the page and the HTTP interface listen, and who may use them."""

    host: Name = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 7860
    """0 takes any free port."""
    token: SecretStr | None = None
    """What a client must show; required off loopback. Prefer ``OFFHOOK_TOKEN``."""
    stun: tuple[str, ...] = ()
    """STUN server addresses, such as ``stun:stun.example.org:3478``."""

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Off loopback, whoever reaches the box may call it: they must show a token."""
        if not is_loopback(self.host) and not (self.token and self.token.get_secret_value()):
            yield (
                "host",
                f"is {self.host!r}, which other machines can reach, so an access token is "
                "required: set the variable OFFHOOK_TOKEN (for example to the output of "
                "`openssl rand -hex 16`), or listen on 127.0.0.1",
            )


class MenuEntry(Section):
    """What a key of the caller's telephone, or a word in its place, does: "press or say"."""

    key: Annotated[str, Field(pattern=r"^[0-9A-D*#]$")]
    say: tuple[Name, ...] = ()
    """Words that do the same."""
    transfer: Name | None = None
    """Hands the caller to this number or SIP address."""
    introduce: bool = False
    """The box calls there itself and tells of the caller, before it joins the two."""
    answer: Name | None = None
    """The agent says this."""
    hang_up: bool = False
    """Ends the call."""
    outcome: Label = ""
    """What comes of the call by it, in reports, such as ``resolved``."""
    outcome_value_usd: Decimal | None = None
    """What that is worth to the business."""

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """A key does one thing."""
        does = [self.transfer is not None, self.answer is not None, self.hang_up]
        if sum(does) != 1:
            yield (
                "key",
                f"is {self.key!r}, which must do one thing: "
                "give one of `transfer`, `answer` and `hang_up`",
            )
        if self.introduce and self.transfer is None:
            yield "introduce", "goes with `transfer`"
        if self.outcome_value_usd is not None and not self.outcome:
            yield "outcome_value_usd", "goes with `outcome`"


class AgentConfig(Section):
    """Who answers."""

    name: Name = "Joe"
    language: Name = "en"
    """BCP 47 tag."""
    system_prompt: str = SYSTEM_PROMPT
    """``{name}`` stands for the agent's name."""
    greeting: str = "Hello, this is Offhook. How can I help you?"
    """Spoken first; empty waits for the caller."""
    fillers: tuple[Name, ...] = ("One moment.", "Let me see.", "Just a second.")
    """Said in turn where an answer is long in coming; empty: the caller waits in silence."""
    menu: tuple[MenuEntry, ...] = ()
    """What keys of the caller's telephone do."""
    workflow: Label = ""
    """What its calls are for, in reports of what they cost."""
    tenant: Label = ""
    """Whose calls they are, where several share the box."""

    @property
    def persona(self) -> str:
        """The system prompt with the agent's name in it."""
        return self.system_prompt.replace("{name}", self.name)

    def with_profile(self, profile: "ProfileConfig") -> "AgentConfig":
        """This agent, with what ``profile`` gives in place of its own."""
        given = {key: getattr(profile, key) for key in profile.model_fields_set}
        return self.model_copy(update={k: v for k, v in given.items() if v is not None})

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """A key stands once in a menu."""
        return _menu_faults(self.menu)


class ProfileConfig(Section):
    """Another agent: what differs from [agent]."""

    name: Name | None = None
    language: Name | None = None
    system_prompt: str | None = None
    greeting: str | None = None
    fillers: tuple[Name, ...] | None = None
    menu: tuple[MenuEntry, ...] | None = None
    workflow: Label | None = None
    tenant: Label | None = None

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """A key stands once in a menu."""
        return _menu_faults(self.menu or ())


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
    stt_threads: ThreadsWanted = "auto"
    llm_threads: ThreadsWanted = "auto"
    """A second thread helps prompts on idle cores and slows answers on busy ones."""
    llm_requantise: Literal["auto", "yes", "no"] = "auto"
    """Use a Q4_0 copy of the GGUF, made once: faster on processors, a little worse in words.
    ``auto``: where its weights are Q4_1; ``yes``: from any format that gains by it."""
    tts_threads: ThreadsWanted = "auto"

    @property
    def threads(self) -> Threads:
        """Threads on this machine, as the settings have them or by its cores."""
        wanted: dict[str, Wanted] = {
            "stt": self.stt_threads,
            "llm": self.llm_threads,
            "tts": self.tts_threads,
        }
        return share(wanted, cores_here())

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
            raise ConfigError(f"`api_key_env` in [llm] {unset(self.api_key_env)}")
        return key

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """An endpoint is asked for a model by name, and with a key where one is named."""
        if self.endpoint and not self.model:
            yield "endpoint", "needs `model`, the name by which that server knows the model"
        if self.api_key_env and not environ.get(self.api_key_env):
            yield "api_key_env", unset(self.api_key_env)


class TurnConfig(Section):
    """When the caller has begun, has finished, and has interrupted."""

    vad_confidence: Probability = 0.6
    """Speech probability from which a window counts as voiced."""
    start_s: NotNegative = 0.1
    """Voiced time that makes it speech."""
    decode_after_s: Positive = 0.064
    """Silence after which the words so far are decoded and the turn model is asked."""
    stop_s: Positive = 0.16
    """Silence that ends the turn where everything says that the caller has finished."""
    complete_probability: Probability = 0.5
    """The turn model's word that says as much for an end as against it."""
    patience: NotNegative = 1.0
    """Times the wait that doubt adds to `stop_s`; over 1 cuts fewer callers off."""
    max_wait_s: Positive = 1.4
    """Silence after which the turn is over whatever else is known."""
    min_speech_s: NotNegative = 0.25
    """Less voiced time than this is a turn only where words are recognised in it."""

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """The shortest wait is not over the longest."""
        if self.max_wait_s < self.stop_s:
            yield (
                "max_wait_s",
                f"is {self.max_wait_s:g}, shorter than `stop_s`, {self.stop_s:g}; "
                "raise it, or lower `stop_s`",
            )


class CallsConfig(Section):
    """How many calls, and how long."""

    max_calls: MaxCalls = "auto"
    """``auto``: as `offhook bench capacity` measured this machine, else `DEFAULT_CALLS`."""
    queue: Annotated[int, Field(ge=0, le=1000)] = 0
    """Telephone callers who may hold the line while all places are taken; 0: they are refused."""
    queue_limit_s: Positive = 180
    """The longest such wait."""
    queue_message: Name = "All our lines are busy. Please hold; you will be answered in turn."
    """What those who wait hear every quarter of a minute."""
    max_call_s: Positive = 3600
    silence_hangup_s: Positive = 600
    """Hang up after this long without the caller's speech."""
    max_hold_s: Positive = 900
    """Hang up on a call that was on hold for this long: its far end may be gone."""
    drain_s: NotNegative = 5
    """On shutdown, how long calls may finish."""


class RecordsConfig(Section):
    """Where call records are kept."""

    path: Path = Path("~/.local/share/offhook/calls.sqlite3")
    """SQLite file; unless given, under ``$OFFHOOK_HOME`` or ``$XDG_DATA_HOME`` where set."""
    url: Name | None = None
    """Of a PostgreSQL database in its place, without a password."""
    url_env: Name | None = None
    """The environment variable that holds that URL, where it has a password."""
    audio: Annotated[Path, AfterValidator(Path.expanduser)] | None = None
    """Folder for the sound of calls; None records none."""
    consent: str = "This call is recorded."
    """Said before a recording begins; empty: nothing is."""
    keep_days: Annotated[float, Field(gt=0, le=36500, allow_inf_nan=False)] | None = None
    """Calls begun longer ago are deleted, sound and all; None keeps them."""
    redact: tuple[Redacted, ...] = ()
    """What is taken out of transcripts, events and logs before they are written."""

    def address(self, environ: Mapping[str, str]) -> str:
        """The URL of the database; empty: SQLite's file is it. Raises ConfigError."""
        if self.url_env is None:
            return self.url or ""
        url = environ.get(self.url_env)
        if not url:
            raise ConfigError(f"`url_env` in [records] {unset(self.url_env)}")
        return url

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """One URL, of a kind that is known, with its password where no log shows it."""
        key = "url_env" if self.url_env else "url"
        if self.url and self.url_env:
            yield "url_env", "is given beside `url`; keep one of them"
        elif self.url_env and not environ.get(self.url_env):
            yield key, unset(self.url_env)
        elif (address := self.address(environ)) and (wrong := fault(address)):
            yield key, wrong
        elif self.url and has_password(self.url):
            yield (
                "url",
                "holds a password; put the URL into an environment variable and name that as "
                "`url_env`, or take the password out (libpq reads PGPASSWORD and ~/.pgpass)",
            )


class TrainingConfig(Section):
    """A model that was trained or fine-tuned: capital, apart from what calls cost."""

    cost_usd: Dollars
    date: Day
    """When it was paid."""
    model: Label = ""
    """Which version of which model came of it."""
    months: Annotated[int, Field(ge=1, le=240)] = 12
    """Over how many it is written off, that of ``date`` included."""


class CostConfig(Section):
    """What the box costs: a row of the price book, and what differs from it here."""

    book: Path | None = None
    """A file of rows over the price book that ships; None: that alone."""
    hardware: Name = "generic-2-core-server"
    purchase_usd: Dollars | None = None
    """Over the row's own, as all that follows."""
    years: Annotated[Decimal, Field(gt=0)] | None = None
    usd_per_hour: Dollars | None = None
    operations_usd_per_month: Dollars | None = None
    colocated: bool | None = None
    watts_idle: Annotated[Decimal, Field(ge=0)] | None = None
    watts_busy: Annotated[Decimal, Field(ge=0)] | None = None
    usd_per_kwh: Dollars | None = None
    pue: Annotated[Decimal, Field(ge=1)] | None = None
    usd_per_kw_month: Dollars | None = None
    trunk: Name = "telnyx-sip-inbound"
    """The price of a minute on the telephone line that calls come in by."""
    trunk_outbound: Name = "telnyx-sip-outbound"
    """The same of calls that the box places."""
    llm_endpoint: Name | None = None
    """The price of what the endpoint in [llm] answers; None: not known, or on this machine."""
    training: dict[Name, TrainingConfig] = {}
    """What training and fine-tuning cost, by name."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def unset(variable: str) -> str:
    """What to say of a key that names an environment variable which is not set."""
    return f"names {variable}, which is not set; export {variable}=... or remove the key"


def _menu_faults(menu: tuple[MenuEntry, ...]) -> Iterator[tuple[str, str]]:
    keys = [entry.key for entry in menu]
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield "menu", f"gives the key {key!r} more than one entry; keep one"
