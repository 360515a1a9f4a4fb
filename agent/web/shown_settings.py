"""The settings as the operator's page shows them: every key, and no secret. Pure.

Secret is what the settings say is (``SecretStr``), and besides, whatever the name of its key: a
password in an address, what an address hands over after its ``?``, all of a webhook's address
beyond its host, and any key that sounds like a secret, should somebody forget to declare it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from agent.config import Config
from agent.sections import Section
from agent.settings_tree import keys_of, tables_in, title

HIDDEN = "(hidden)"
MARK = "***"
_SOUNDS_SECRET = re.compile(
    r"(^|_)(passwords?|passwd|passphrase|secrets?|token|credentials?|api_?key|private_key|pin)(_|$)"
)
_USER = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]*://)[^/\s@?#]*@")
_SIP_USER = re.compile(r"\b(?P<user>(?:sips?|turns?):[^:@\s/]+):[^@\s]+@")
_QUERY = re.compile(r"(?P<address>[a-zA-Z][\w+.-]*://[^\s?#]*)[?#]\S+")
_BEYOND_HOST = re.compile(r"(?P<host>[a-zA-Z][\w+.-]*://[^/\s?#]+)[/?#]\S+")


def shown(config: Config) -> list[dict[str, Any]]:
    """Every table with its keys, in the order of the settings.

    ``value`` is a text, or a list of texts; null: not set. ``own``: it is not the default.
    """
    return [
        {"title": title(path), "keys": keys}
        for path, section in tables_in(config)
        # The root has tables alone.
        if path and (keys := list(_keys(section)))
    ]


def _keys(section: Section) -> Iterator[dict[str, Any]]:
    for (name, info), attribute in zip(
        keys_of(type(section)).items(), type(section).model_fields, strict=True
    ):
        value = getattr(section, attribute)
        if _is_table(value):
            continue
        secret = value is not None and is_secret(name, value)
        default = info.get_default(call_default_factory=True)
        yield {
            "key": name,
            "value": HIDDEN if secret else as_text(name, value),
            "secret": secret,
            "own": value != default,
        }


def is_secret(key: str, value: Any) -> bool:
    """Whether nothing of a value may be shown; the name of a variable that holds it may."""
    if isinstance(value, SecretStr):
        return True
    return isinstance(value, str) and sounds_secret(key)


def sounds_secret(key: str) -> bool:
    """Whether a key is called as secrets are."""
    return not key.endswith("_env") and _SOUNDS_SECRET.search(key.lower()) is not None


def as_text(key: str, value: Any) -> str | list[str] | None:
    """A value as it is written in the file, more or less, without what addresses hide."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, Mapping):
        return [
            f"{name} = {HIDDEN if is_secret(str(name), each) else as_text(str(name), each)}"
            for name, each in value.items()
        ]
    if isinstance(value, tuple | list | frozenset | set):
        return [str(as_text(key, each)) for each in value]
    return without_secrets(str(value), webhook="webhook" in key.lower())


def without_secrets(text: str, *, webhook: bool = False) -> str:
    """A text whose addresses show neither password nor parameters; a webhook's, its host alone."""
    text = _USER.sub(rf"\g<scheme>{MARK}@", text)
    text = _SIP_USER.sub(rf"\g<user>:{MARK}@", text)
    if webhook:
        return _BEYOND_HOST.sub(rf"\g<host>/{MARK}", text)
    return _QUERY.sub(rf"\g<address>?{MARK}", text)


def _is_table(value: Any) -> bool:
    """Whether it is shown as tables of its own."""
    if isinstance(value, Section):
        return True
    each = value.values() if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | tuple):
        return False
    items = list(each)
    return bool(items) and all(isinstance(item, Section) for item in items)
