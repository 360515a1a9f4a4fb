"""The settings of the carriers that stream calls over WebSockets."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field, SecretStr

from agent.sections import Name, Section
from telephony.numbers import dialled_key
from telephony.signatures import telnyx_key

Secret = Annotated[SecretStr, Field(min_length=8)]


class CarriersConfig(Section):
    """What proves that a webhook is a carrier's; one without its key here is not let in."""

    public_url: str | None = Field(default=None, pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")
    """Where carriers reach this box: the address of the TLS proxy before it."""
    twilio_auth_token: Secret | None = None
    """Opens the box to Twilio."""
    telnyx_public_key: Name | None = None
    """Opens the box to Telnyx; in base64."""
    telnyx_api_key: Secret | None = None
    """With it the box ends Telnyx calls over Telnyx's API, besides closing their stream."""
    plivo_auth_token: Secret | None = None
    """Opens the box to Plivo."""
    plivo_auth_id: Name | None = None
    """With it the box ends Plivo calls over Plivo's API, besides closing their stream."""
    vonage_signature_secret: Secret | None = None
    """Opens the box to Vonage."""
    numbers: dict[Name, Name] = {}
    """Each dialled number (DID), and the profile that answers it; any other: [agent]."""

    def profile_for(self, dialled: str) -> str:
        """Who answers ``dialled``; empty: the agent itself."""
        key = dialled_key(dialled)
        named = (p for number, p in self.numbers.items() if dialled_key(number) == key)
        return next(named, "")

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """A carrier signs the address it was told, and must be told where to stream to."""
        opened = (
            self.twilio_auth_token,
            self.telnyx_public_key,
            self.plivo_auth_token,
            self.vonage_signature_secret,
        )
        if self.public_url is None and any(opened):
            yield (
                "public_url",
                "is not set, and a carrier's key is: give the address by which carriers reach "
                "this box, such as https://phone.example.com",
            )
        if self.telnyx_public_key is not None:
            try:
                telnyx_key(self.telnyx_public_key)
            except ValueError as error:
                yield "telnyx_public_key", f"{error}; copy it from Telnyx's portal"
        if self.telnyx_api_key is not None and self.telnyx_public_key is None:
            yield "telnyx_api_key", "does nothing without `telnyx_public_key`, which checks calls"
        if self.plivo_auth_id is not None and self.plivo_auth_token is None:
            yield "plivo_auth_id", "does nothing without `plivo_auth_token`, which checks calls"
