"""The section of the settings about traces: where they go, and what is in them."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field

from agent.sections import ConfigError, Name, Section, unset


class TelemetryConfig(Section):
    """OpenTelemetry traces of calls, over OTLP/HTTP; none are made unless they go somewhere."""

    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s/]")] | None = None
    """Where traces are sent, whole, such as ``http://127.0.0.1:4318/v1/traces``."""
    headers_env: Name | None = None
    """The environment variable that holds the headers of each request, ``name=value,...``."""
    service: Name = "offhook"
    """``service.name`` of the traces."""
    sample: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    """Share of the calls that are traced; the others are not at all."""
    content: bool = False
    """Whether what was said, and who called, is in them."""

    def headers(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Each request's own headers. Raises ConfigError for what is none."""
        if self.headers_env is None:
            return {}
        found: dict[str, str] = {}
        for pair in filter(None, map(str.strip, environ.get(self.headers_env, "").split(","))):
            name, equals, value = (part.strip() for part in pair.partition("="))
            if not (name and equals and value and (name + value).isprintable()):
                raise ConfigError(
                    f"{self.headers_env}, which `headers_env` in [telemetry] names, must be "
                    "name=value pairs with commas between them"
                )
            found[name] = value
        return found

    def faults(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """What is named must be there, and say what it should."""
        if self.headers_env and not environ.get(self.headers_env):
            yield "headers_env", unset(self.headers_env)
        elif self.headers_env:
            try:
                self.headers(environ)
            except ConfigError:
                # Not what it holds, which is a secret.
                yield (
                    "headers_env",
                    f"names {self.headers_env}, which must hold name=value pairs with commas "
                    "between them",
                )
