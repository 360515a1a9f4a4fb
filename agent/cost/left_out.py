"""What the dollars leave out: which model answers, and what the box needs besides. Pure."""

import re

from agent.config import Config
from agent.cost.price_row import Hardware

_SIZE = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", re.IGNORECASE)


def left_out(config: Config, hardware: Hardware) -> str:
    """To stand below every comparison: it is of the same minutes, not of the same answers, and of
    no more of the box than its price holds."""
    if not hardware.leaves_out:
        return _quality(config)
    return (
        f"The box's price leaves out {hardware.leaves_out}: owning costs at least what is shown. "
        f"{_quality(config)}"
    )


def _quality(config: Config) -> str:
    if config.llm.endpoint:
        return (
            f"The quality of answers is not priced. {config.llm.model} answers, at an endpoint, "
            "and a rented stack with the model that it names. What the endpoint charges is in the "
            "line of the language model by `llm_endpoint` in [cost], and not known without it, "
            "unless it is on this machine."
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
