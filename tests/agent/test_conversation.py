"""What was heard, from samples played."""

from hypothesis import given
from hypothesis import strategies as st

from agent.conversation import Dialogue, SpokenAnswer, SpokenClause

RATE_HZ = 8000


def answer(*texts: str, complete: bool = True) -> SpokenAnswer:
    """Clauses of one second each."""
    spoken = SpokenAnswer(RATE_HZ)
    for n, text in enumerate(texts):
        spoken.clauses.append(SpokenClause(text, n * RATE_HZ, RATE_HZ, complete))
    return spoken


def test_nothing_played_is_nothing_heard() -> None:
    assert answer("Good morning.").heard_text(0) == ""


def test_all_played_is_all_heard() -> None:
    spoken = answer("Good morning.", "How are you?")
    assert spoken.heard_text(2 * RATE_HZ) == "Good morning. How are you?"


def test_a_barge_in_keeps_whole_words_only() -> None:
    spoken = answer("Good morning.", "one two three four")
    assert spoken.heard_text(RATE_HZ + RATE_HZ // 2) == "Good morning. one two"


def test_a_clause_still_being_made_is_judged_by_its_expected_length() -> None:
    # 60 characters take about four seconds; only one second exists and was played.
    text = " ".join(["abcd"] * 12)
    heard = answer(text, complete=False).heard_text(RATE_HZ)
    assert 2 <= len(heard.split()) <= 4


@given(st.lists(st.text("ab ", min_size=1).filter(str.strip), max_size=5), st.integers(0, 50_000))
def test_heard_grows_with_what_was_played(texts: list[str], played: int) -> None:
    spoken = answer(*texts)
    less, more = spoken.heard_text(played).split(), spoken.heard_text(played + 500).split()
    assert more[: len(less)] == less
    assert spoken.heard_text(10**9).split() == " ".join(texts).split()


def test_an_unanswered_turn_is_joined_to_the_next() -> None:
    dialogue = Dialogue("Be brief.")
    dialogue.caller_said("I want")
    dialogue.agent_said("  ", interrupted=True)
    dialogue.caller_said("a coffee.")
    assert [(m.role, m.content) for m in dialogue.messages] == [
        ("system", "Be brief."),
        ("user", "I want a coffee."),
    ]


def test_an_interrupted_answer_ends_where_it_was_cut() -> None:
    dialogue = Dialogue("Be brief.")
    dialogue.caller_said("Hello.")
    dialogue.agent_said("We are open from", interrupted=True)
    dialogue.caller_said("Thanks.")
    assert [m.role for m in dialogue.messages] == ["system", "user", "assistant", "user"]
    assert dialogue.messages[2].content == "We are open from..."
