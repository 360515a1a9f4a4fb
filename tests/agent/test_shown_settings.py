"""No secret leaves the box by way of its settings, whoever declared it and wherever it stands."""

import json
from typing import Any

import pytest

from agent.config import Config
from agent.settings_tree import keys_of
from agent.web.shown_settings import HIDDEN, as_text, shown, sounds_secret, without_secrets

CANARY = "canary-0c6f9a"


def settings(tree: dict[str, Any]) -> Config:
    return Config.model_validate(tree)


def keys(config: Config, title: str) -> dict[str, dict[str, Any]]:
    (table,) = (each for each in shown(config) if each["title"] == title)
    return {entry["key"]: entry for entry in table["keys"]}


def test_every_secret_of_the_settings_is_hidden() -> None:
    config = settings(
        {
            "server": {"token": CANARY},
            "trunks": {
                "telnyx": {"host": "sip.example.org", "username": "joe", "password": CANARY}
            },
            "carriers": {
                "public_url": f"https://joe:{CANARY}@phone.example.com/in",
                "twilio_auth_token": CANARY,
                "plivo_auth_token": CANARY,
                "telnyx_api_key": CANARY,
                "vonage_signature_secret": CANARY,
            },
            "llm": {"endpoint": f"http://joe:{CANARY}@127.0.0.1:9/v1?key={CANARY}", "model": "m"},
            "budgets": [
                {
                    "name": "all",
                    "limit": 3,
                    "webhook": f"https://hooks.example.com/services/{CANARY}?x={CANARY}",
                    "webhook_secret": CANARY,
                }
            ],
        }
    )
    text = json.dumps(shown(config))
    assert CANARY not in text
    assert "hooks.example.com" in text
    assert keys(config, "[server]")["token"] == {
        "key": "token",
        "value": HIDDEN,
        "secret": True,
        "own": True,
    }
    assert keys(config, "[trunks.telnyx]")["username"]["value"] == "joe"


def test_a_secret_that_is_not_set_is_not_said_to_be() -> None:
    token = keys(Config(), "[server]")["token"]
    assert token == {"key": "token", "value": None, "secret": False, "own": False}


def test_the_name_of_a_variable_is_no_secret() -> None:
    config = settings({"llm": {"api_key_env": "MY_KEY"}})
    assert keys(config, "[llm]")["api_key_env"]["value"] == "MY_KEY"


@pytest.mark.parametrize(
    "key",
    ["password", "db_password", "token", "auth_token", "api_key", "secret", "pin", "credentials"],
)
def test_a_key_that_sounds_secret_is_hidden_though_nobody_declared_it(key: str) -> None:
    assert sounds_secret(key)
    assert as_text("headers", {key: CANARY}) == [f"{key} = {HIDDEN}"]


@pytest.mark.parametrize(
    "key", ["max_tokens", "context_tokens", "password_env", "key", "spin", "telnyx_public_key"]
)
def test_a_key_that_only_looks_like_one_is_shown(key: str) -> None:
    assert not sounds_secret(key)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgresql://joe:pw@db:5432/calls", "postgresql://***@db:5432/calls"),
        ("postgresql://db/calls?user=joe&password=pw", "postgresql://db/calls?***"),
        ("https://example.com/v1#token=pw", "https://example.com/v1?***"),
        ("see https://a:pw@h/x and https://b:pw@h/y", "see https://***@h/x and https://***@h/y"),
        ("sip:joe:pw@example.org", "sip:joe:***@example.org"),
        ("turn:joe:pw@turn.example.org", "turn:joe:***@turn.example.org"),
        ("sip:joe@example.org", "sip:joe@example.org"),
        ("stun:stun.example.org:3478", "stun:stun.example.org:3478"),
        ("Is it 3:45? Write to joe@example.org", "Is it 3:45? Write to joe@example.org"),
    ],
)
def test_addresses_keep_what_is_not_secret(text: str, left: str) -> None:
    assert without_secrets(text) == left


def test_of_a_webhook_only_the_host_is_shown() -> None:
    assert as_text("webhook", "https://hooks.example.com/services/T0/pw") == (
        "https://hooks.example.com/***"
    )


def test_every_key_is_there_in_order_and_says_whether_it_is_the_default() -> None:
    config = settings({"calls": {"max_calls": 7}, "profiles": {"sales": {"greeting": "Hi."}}})
    titles = [table["title"] for table in shown(config)]
    assert titles[0] == "[server]"
    assert "[profiles.sales]" in titles
    assert "[calls]" in titles
    calls = keys(config, "[calls]")
    assert list(calls) == list(keys_of(type(config.calls)))
    assert (calls["max_calls"]["value"], calls["max_calls"]["own"]) == ("7", True)
    assert (calls["queue"]["value"], calls["queue"]["own"]) == ("0", False)
