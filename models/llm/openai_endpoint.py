"""Any OpenAI-compatible chat endpoint (vLLM, SGLang, llama-server), as a language model.

The standard library's HTTP client is used since a cancelled answer must stop at once: only
the socket itself can be shut from another thread while its reader waits.
"""

import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from models.errors import EngineError
from models.llm.base import (
    Conversation,
    Generation,
    GenerationEnd,
    GenerationUsage,
    LanguageModel,
    Message,
    OnEnd,
    OnText,
    Sampling,
)
from models.llm.spoken_text import ThoughtFilter

log = logging.getLogger(__name__)

REMEDIES = {
    400: "it does not understand the request; check that the model takes chat messages",
    401: "it refuses the API key; set the right one",
    403: "it refuses the API key; set one that may use this model",
    404: "no such address or model; check that the URL ends before /chat/completions, "
    "usually with /v1, and the model's name",
    429: "too many requests, or nothing left to spend; raise the limit there",
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one event of the stream says."""

    text: str = ""
    finish: str | None = None
    usage: GenerationUsage | None = None


def parse_event(line: bytes) -> Chunk | None:
    """One line of the event stream; None for the lines between, and for the last one.

    Raises ValueError for anything that is no completion chunk, with what it says instead.
    """
    field, _, data = line.strip().partition(b":")
    data = data.strip()
    if field != b"data" or data == b"[DONE]":
        return None
    event = json.loads(data)
    if not isinstance(event, dict):
        raise ValueError(f"an event is {type(event).__name__}, not an object")
    if event.get("error"):
        raise ValueError(_told(event))
    choice = (event.get("choices") or [{}])[0]
    text = (choice.get("delta") or {}).get("content") or ""
    return Chunk(text, choice.get("finish_reason"), _usage(event.get("usage")))


def _usage(told: Mapping[str, Any] | None) -> GenerationUsage | None:
    if not told:
        return None
    return GenerationUsage(
        prompt_tokens=told.get("prompt_tokens") or 0,
        cached_tokens=(told.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        generated_tokens=told.get("completion_tokens") or 0,
    )


def _told(body: Any) -> str:
    """The endpoint's own words about an error."""
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message", error) if isinstance(error, dict) else error
    return str(message)[:200]


class _Request(Generation):
    """One streamed answer, read by a thread of its own."""

    def __init__(
        self, endpoint: "OpenAIEndpoint", body: bytes, on_text: OnText, on_end: OnEnd
    ) -> None:
        self._endpoint = endpoint
        self._body = body
        self._on_text = on_text
        self._on_end = on_end
        self._cancelled = threading.Event()
        self._socket: socket.socket | None = None
        self._thoughts = ThoughtFilter()
        self._usage: GenerationUsage | None = None
        self._pieces = 0
        self.thread = threading.Thread(target=self._run, name=f"llm {endpoint.name}", daemon=True)

    def cancel(self) -> None:
        self._cancelled.set()
        if self._socket is not None:
            _shut(self._socket)

    def confirm(self) -> None:
        """Does nothing: the protocol knows no urgency."""

    def _run(self) -> None:
        started = time.monotonic()
        reason: Literal["stop", "length", "cancelled", "error"]
        error: Exception | None = None
        try:
            reason = "length" if self._read() == "length" else "stop"
        except Exception as failure:
            reason, error = "error", failure
            if not (self._cancelled.is_set() or isinstance(failure, EngineError)):
                log.exception("%s: the receiver of an answer failed", self._endpoint.name)
        if self._cancelled.is_set():
            reason, error = "cancelled", None
        usage = self._usage or GenerationUsage(generated_tokens=self._pieces)
        # How long the far machine worked is not told: the whole wait stands for it.
        busy_s = time.monotonic() - started
        self._endpoint.forget(self)
        try:
            self._on_end(
                GenerationEnd(
                    GenerationUsage(
                        usage.prompt_tokens, usage.cached_tokens, usage.generated_tokens, busy_s
                    ),
                    reason,
                    error,
                )
            )
        except Exception:
            log.exception("%s: the receiver of an answer's end failed", self._endpoint.name)

    def _read(self) -> str | None:
        """Reads the whole answer; returns the endpoint's reason to stop."""
        finish = None
        connection = self._endpoint.connection()
        try:
            with closing(self._chunks(connection)) as chunks:
                for chunk in chunks:
                    self._pieces += bool(chunk.text)
                    self._speak(self._thoughts.feed(chunk.text))
                    finish = chunk.finish or finish
                    self._usage = chunk.usage or self._usage
        finally:
            self._socket = None
            connection.close()
        if finish is None:
            raise self._endpoint.failure("it hung up in the middle of an answer; see its log")
        self._speak(self._thoughts.end())
        return finish

    def _chunks(self, connection: http.client.HTTPConnection) -> Generator[Chunk, None, None]:
        try:
            connection.connect()
            self._socket = connection.sock
            if self._cancelled.is_set():
                return
            connection.request("POST", self._endpoint.path, self._body, self._endpoint.headers())
            with connection.getresponse() as response:
                if response.status != 200:
                    raise self._endpoint.refusal(response.status, response.read(4096))
                for line in response:
                    if (chunk := parse_event(line)) is not None:
                        yield chunk
        except TimeoutError as error:
            raise self._endpoint.failure(
                f"no answer within {self._endpoint.timeout_s:g} s; is it overloaded?"
            ) from error
        except http.client.IncompleteRead:
            return  # told by the missing reason to stop
        except (OSError, http.client.HTTPException) as error:
            raise self._endpoint.failure(f"cannot be reached ({error}); is it running?") from error
        except (ValueError, AttributeError, TypeError) as error:
            raise self._endpoint.failure(
                f"does not speak the OpenAI protocol, or reports an error: {error}"
            ) from error

    def _speak(self, text: str) -> None:
        if text and not self._cancelled.is_set():
            self._on_text(text)


def _shut(open_socket: socket.socket) -> None:
    """Wakes whoever reads from the socket."""
    try:
        open_socket.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        log.debug("already shut: %s", error)


class EndpointConversation(Conversation):
    """One call's talk with the endpoint, which keeps no state of it but its own cache."""

    def __init__(self, endpoint: "OpenAIEndpoint") -> None:
        self._endpoint = endpoint
        self._running: _Request | None = None
        self._closed = False

    def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        on_text: OnText,
        on_end: OnEnd,
        *,
        guess: bool = False,
    ) -> Generation:
        """Begins an answer; an answer still running is cancelled first.

        Neither the repeat penalty nor ``guess`` is sent: the protocol has none. Raises
        EngineError after ``close``; what goes wrong later comes as the end's ``error``.
        """
        if self._closed:
            raise EngineError("this conversation is closed; open a new one")
        if self._running is not None:
            self._running.cancel()
        self._running = self._endpoint.start(messages, sampling, on_text, on_end)
        return self._running

    def prepare(self, messages: Sequence[Message]) -> None:
        """Does nothing: the protocol has no such request."""

    def close(self) -> None:
        self._closed = True
        if self._running is not None:
            self._running.cancel()


class OpenAIEndpoint(LanguageModel):
    """A model behind ``{base_url}/chat/completions``.

    ``base_url`` usually ends with ``/v1``. ``timeout_s`` limits each wait for the endpoint,
    not the whole answer. ``extra`` goes into every request as it is, for what one server
    alone understands, such as ``{"chat_template_kwargs": {"enable_thinking": False}}``.
    Raises EngineError for a ``base_url`` that is none.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise EngineError(
                f"{base_url!r} is no endpoint's URL; write it like http://localhost:8000/v1"
            )
        self.name = model
        self.device = "remote"
        self.timeout_s = timeout_s
        self._secure = url.scheme == "https"
        self._host = url.hostname
        self._port = url.port
        self.path = url.path.rstrip("/") + "/chat/completions"
        self._url = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{self.path}"
        self._api_key = api_key
        self._extra = dict(extra or {})
        self._lock = threading.Lock()
        self._requests: set[_Request] = set()
        self._closed = False

    def open(self) -> EndpointConversation:
        """A new conversation. Raises EngineError after ``close``."""
        if self._closed:
            raise EngineError(f"{self.name} is closed")
        return EndpointConversation(self)

    def load(self, now_s: float) -> float:
        """0.0: what it costs is another machine's."""
        return 0.0

    def close(self) -> None:
        """Cancels all and waits for their ends."""
        with self._lock:
            self._closed = True
            running = list(self._requests)
        for request in running:
            request.cancel()
        for request in running:
            if request.thread is not threading.current_thread():
                request.thread.join(self.timeout_s)

    # What follows is for the conversations and requests of this module only.

    def start(
        self, messages: Sequence[Message], sampling: Sampling, on_text: OnText, on_end: OnEnd
    ) -> _Request:
        """Sends a request."""
        body = {
            "model": self.name,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._extra,
        }
        request = _Request(self, json.dumps(body).encode(), on_text, on_end)
        with self._lock:
            if self._closed:
                raise EngineError(f"{self.name} is closed")
            self._requests.add(request)
            request.thread.start()
        return request

    def forget(self, request: _Request) -> None:
        """Takes an ended request off the list."""
        with self._lock:
            self._requests.discard(request)

    def connection(self) -> http.client.HTTPConnection:
        """A connection, not yet open."""
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self.timeout_s)

    def headers(self) -> dict[str, str]:
        """What goes with every request."""
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        return headers

    def refusal(self, status: int, body: bytes) -> EngineError:
        """The error for an answer other than 200."""
        try:
            told = _told(json.loads(body))
        except ValueError:
            told = body[:200].decode("utf-8", "replace").strip()
        remedy = REMEDIES.get(status, "its own fault; see its log")
        return self.failure(f"HTTP {status}: {remedy}" + (f" (it says: {told})" if told else ""))

    def failure(self, what: str) -> EngineError:
        """An error that names the endpoint, and never the key."""
        told = f"{self._url}: {what}"
        return EngineError(told.replace(self._api_key, "***") if self._api_key else told)
