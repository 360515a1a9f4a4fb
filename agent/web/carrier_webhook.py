"""A carrier's request, and what it is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

FIELDS_LIMIT = 200


class BadWebhook(Exception):
    """A request that is the carrier's, but announces no call."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A carrier's request."""

    url: str
    """As the carrier knows it."""
    headers: Mapping[str, str]
    """By name, in any case."""
    body: bytes

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The fields of the form. Raises BadWebhook."""
        try:
            text = self.body.decode("utf-8", "replace")
            return parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_LIMIT)
        except ValueError as error:
            raise BadWebhook(f"the form cannot be read: {error}") from error

    def header(self, name: str) -> str:
        """A header's value; empty where there is none."""
        return self.headers.get(name, "")


@dataclass(frozen=True, slots=True)
class Markup:
    """What a carrier is answered."""

    text: str
    media_type: str = "application/xml"
