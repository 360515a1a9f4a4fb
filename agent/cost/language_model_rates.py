"""Rates of language models from the genai-prices package, which is kept up to date. Pure.

Speech-to-speech models are billed by tokens of sound: one for each 100 ms of the caller and one
for each 50 ms of the model (developers.openai.com, "Realtime: managing costs"), and each answer
is made from the whole conversation so far, most of it cached.
"""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version

from genai_prices import Usage as TokenUsage
from genai_prices import calc_price

from agent.cost.price_row import Price
from agent.sections import ConfigError
from agent.usage import Usage

CALLER_TOKENS_PER_S = 10
MODEL_TOKENS_PER_S = 20
"""Tokens of sound in a second of speech."""


def check_known(price: Price, label: str, row: str) -> None:
    """Raises ConfigError where genai-prices has no such model."""
    if not price.genai:
        return
    try:
        _calc(price.genai, price.as_of, input_tokens=1, output_tokens=1)
    except LookupError as error:
        raise ConfigError(
            f"{label}: price.{row}: genai-prices {version('genai-prices')} does not know "
            f"{price.genai!r}: {error}"
        ) from error


def text_usd(usage: Usage, price: Price) -> Decimal | None:
    """What a text model charges for the tokens of ``usage``; None where no rate is known."""
    return _usd(
        price,
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=min(usage.cached_tokens, usage.prompt_tokens),
        output_tokens=usage.generated_tokens,
    )


def audio_usd(usage: Usage, price: Price) -> Decimal | None:
    """What a speech-to-speech model charges for the speech of ``usage``.

    The caller's and the model's speech are taken as spread evenly over the turns, so that on the
    average answer half of the conversation is read again, from the cache.
    """
    caller = round(usage.audio_in_s * CALLER_TOKENS_PER_S)
    model = round(usage.audio_heard_s * MODEL_TOKENS_PER_S)
    again = round((caller + model) * max(0, usage.turns - 1) / 2)
    return _usd(
        price,
        input_tokens=caller + again,
        input_audio_tokens=caller + again,
        cache_read_tokens=again,
        cache_audio_read_tokens=again,
        output_tokens=model,
        output_audio_tokens=model,
    )


def _usd(price: Price, **tokens: int) -> Decimal | None:
    try:
        return _calc(price.genai, price.as_of, **tokens)
    except (LookupError, ValueError):
        return None


# A running call is priced every few seconds, and its tokens change once a turn.
@lru_cache(maxsize=1024)
def _calc(genai: str, as_of: date, **tokens: int) -> Decimal:
    """At the rates of the row's own day, so that a call is priced the same at any time."""
    provider, _, model = genai.partition(":")
    at = datetime.combine(as_of, time(12), UTC)
    return calc_price(
        TokenUsage(**tokens), model_ref=model, provider_id=provider, genai_request_timestamp=at
    ).total_price
