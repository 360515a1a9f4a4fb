"""Which weight format is chosen, and what is remembered of it."""

import json
from pathlib import Path

import pytest

from models import tuning
from models.errors import ModelError
from models.tuning import FILE, Measured, choose, machine_name, save, sentence, tuned


def measured(name: str, prompt: float, answer: float, nll: float) -> Measured:
    return Measured(name, prompt, answer, nll, 90.0)


SHIPPED = measured("shipped", 100, 80, 2.0)


def test_the_fastest_of_those_that_keep_the_quality_is_chosen() -> None:
    slow = measured("Q8_0", 170, 60, 2.0)
    good = measured("IQ4_NL", 240, 82, 2.11)
    poor = measured("Q4_0", 300, 90, 2.2)
    tuning_ = choose([SHIPPED, slow, good, poor], "box")
    assert tuning_.format == "IQ4_NL"
    assert "2.4 times" in tuning_.why and "+0.11" in tuning_.why and "Q4_0 +0.20" in tuning_.why
    assert choose([SHIPPED, slow, good, poor], "box", limit=0.3).format == "Q4_0"


def test_of_formats_about_equally_fast_the_better_one_is_chosen() -> None:
    a, b = measured("Q4_0", 250, 84, 2.14), measured("IQ4_NL", 240, 80, 2.09)
    assert choose([SHIPPED, a, b], "box").format == "IQ4_NL"
    assert choose([SHIPPED, b, a], "box").format == "IQ4_NL"


def test_shipped_weights_stay_where_nothing_is_faster() -> None:
    chosen = choose([SHIPPED, measured("Q8_0", 90, 60, 2.0)], "box")
    assert chosen.format == "shipped" and "no format" in chosen.why


def test_answers_count_as_well_as_prompts() -> None:
    """A format that reads fast and writes slowly is no gain."""
    assert choose([SHIPPED, measured("Q8_0", 150, 40, 2.0)], "box").format == "shipped"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path / "home"))
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF weights")
    return path


def test_a_choice_is_kept_by_the_models_checksum(model: Path) -> None:
    assert tuned(model) is None and "offhook models tune" in sentence(model)
    chosen = choose([SHIPPED, measured("IQ4_NL", 240, 82, 2.11)], machine_name())
    where = save(model, chosen)
    assert tuned(model) == chosen and "IQ4_NL" in sentence(model)
    assert [path.name for path in where.parent.glob("*.part")] == []
    other = model.with_name("other.gguf")
    other.write_bytes(b"GGUF other")
    assert tuned(other) is None
    save(other, chosen)
    assert tuned(model) == chosen == tuned(other)


def test_another_machines_choice_does_not_count(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(model, choose([SHIPPED], machine_name()))
    monkeypatch.setattr(tuning, "machine_name", lambda: "another")
    assert tuned(model) is None


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_file_is_told_with_its_name(model: Path, text: str) -> None:
    path = save(model, choose([SHIPPED], machine_name()))
    path.write_text(text)
    with pytest.raises(ModelError, match=rf"{FILE}.*delete it"):
        tuned(model)


def test_an_entry_that_lacks_something_is_told(model: Path) -> None:
    path = save(model, choose([SHIPPED], machine_name()))
    known = json.loads(path.read_text())
    for entry in known.values():
        del entry["why"]
    path.write_text(json.dumps(known))
    with pytest.raises(ModelError, match="delete it"):
        tuned(model)
