"""Signs of listening, as people and recognisers write them."""

import pytest

from agent.backchannel import is_backchannel


@pytest.mark.parametrize(
    "text",
    [
        "Mm-hmm.", "Mm-hm", "mhm", "Hmm", "Hm.", "Uh-huh.", "Uh huh", "Uh", "Um.", "Mmm", "Ah.",
        "Oh", "Yeah.", "yeah yeah", "Yep.", "Yes.", "Okay.", "OK", "O.K.", "Right.", "Alright.",
        "All right", "I see.", "Sure.", "Got it.", "Of course", "Thank you.", "Thanks.",
        "Thank you very much.", "Okay, thank you.", "Oh, I see.", "Yeah, okay, right.",
        "That's right.", "Sounds good!", "Great.", "Uh-huh, okay.", "Aha.", "Ok. Ok.",
    ],
)  # fmt: skip
def test_signs_of_listening(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "...", "Stop.", "Wait.", "Wait a moment", "No.", "No, no.", "Nope", "Hold on.",
        "Excuse me.", "Okay?", "Right?", "What?", "Hello?", "Hello", "Two.", "42", "Yes, at 5",
        "I see a problem", "Okay, but I need to go", "Thank you, bye.", "Thanks but no", "Help",
        "Yeah, stop.", "Right now", "Sure, why", "I want to change my order", "Sorry", "Repeat",
        "Okay okay okay okay okay okay okay okay", "Start", "Cancel", "Go", "The", "But",
    ],
)  # fmt: skip
def test_whatever_means_more(text: str) -> None:
    assert not is_backchannel(text)
