"""Usages add up field by field."""

from dataclasses import astuple, fields

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.usage import Usage

_USAGES = st.builds(
    Usage, **{f.name: st.integers(0, 10**9) for f in fields(Usage)}  # type: ignore[arg-type]
)  # fmt: skip


@settings(deadline=None)
@given(_USAGES, _USAGES)
def test_every_field_is_added(one: Usage, other: Usage) -> None:
    assert astuple(one + other) == tuple(
        a + b for a, b in zip(astuple(one), astuple(other), strict=True)
    )


@settings(deadline=None)
@given(_USAGES)
def test_nothing_added_changes_nothing(usage: Usage) -> None:
    assert usage + Usage() == usage
