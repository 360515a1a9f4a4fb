"""What dollars leave out: which model answers. Pure."""

import re

from agent.config import Config

_SIZE = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", re.IGNORECASE)


def quality_note(config: Config) -> str:
    """To stand below every comparison: it is of the same minutes, not of the same answers."""
    if config.llm.endpoint:
        return (
            f"Answers come from {config.llm.model} at an endpoint: what that charges is in none of "
            "this box's lines, and the quality of answers is in nobody's."
        )
    name = config.models.llm
    size = _parameters(name)
    return (
        f"The quality of answers is not priced. {name}{size} answers here, and a rented stack "
        "with the model that it names: where that is larger, renting buys a better answer for its "
        "dollars, not the same one."
    )


def _parameters(name: str) -> str:
    """As the model's own name tells its size; empty where it does not."""
    found = _SIZE.search(name)
    if found is None:
        return ""
    number, unit = found.groups()
    return f" ({number} {'million' if unit.lower() == 'm' else 'billion'} parameters)"
