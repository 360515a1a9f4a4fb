"""What a carrier's socket may bring, and how fast."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.web.carrier_messages import (
    AHEAD_LIMIT_S,
    MESSAGES_PER_S,
    BadStream,
    Flow,
    read_event,
    read_message,
)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["event", "start", "media", "dtmf", "payload", "digit", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_read_or_refused_in_words(value: Any) -> None:
    try:
        message = read_message(json.dumps(value))
    except BadStream as error:
        assert 0 < len(str(error).encode()) <= 123
    else:
        assert isinstance(message, dict)
        assert all(isinstance(message.get(part, {}), dict) for part in ("start", "media", "dtmf"))


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        read_message(text)
    except BadStream as error:
        assert str(error)


def test_audio_comes_as_the_carrier_sends_it() -> None:
    said = {"event": "media", "media": {"payload": "AAAA"}}
    assert read_event({"text": json.dumps(said)}, binary=False) == said
    assert read_event({"text": json.dumps(said), "bytes": None}, binary=True) == said
    assert read_event({"bytes": b"\0\1"}, binary=True) == b"\0\1"
    with pytest.raises(BadStream, match="not text"):
        read_event({"bytes": b"\0\1"}, binary=False)
    with pytest.raises(BadStream, match="odd number"):
        read_event({"bytes": b"\0\1\2"}, binary=True)


def test_a_telephones_audio_flows() -> None:
    flow = Flow(100.0)
    for frame in range(50 * 60):
        now_s = 100.0 + frame * 0.02
        flow.message(now_s)
        flow.audio(0.02, now_s)


def test_audio_that_was_held_up_may_catch_up() -> None:
    flow = Flow(0.0)
    for _ in range(50 * 30):
        flow.message(30.0)
        flow.audio(0.02, 30.0)


def test_audio_ahead_of_the_clock_is_refused() -> None:
    flow = Flow(0.0)
    flow.audio(AHEAD_LIMIT_S + 1.0, 1.0)
    with pytest.raises(BadStream, match="faster than it was spoken"):
        flow.audio(0.02, 1.0)


def test_too_many_messages_are_refused() -> None:
    flow = Flow(0.0)
    for _ in range(int(MESSAGES_PER_S * AHEAD_LIMIT_S)):
        flow.message(0.0)
    with pytest.raises(BadStream, match="too fast"):
        flow.message(0.0)
