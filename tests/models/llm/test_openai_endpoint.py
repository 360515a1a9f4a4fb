"""The endpoint engine against a server on a real socket that streams what a test tells it."""

import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from models.errors import EngineError
from models.llm.base import GenerationEnd, GenerationUsage, Message, Sampling
from models.llm.openai_endpoint import Chunk, OpenAIEndpoint, parse_event

KEY = "sk-very-secret"
HELLO = [Message("system", "Be brief."), Message("user", "Grüß dich 😀")]
Script = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    server: "Server"
    body: dict[str, Any]

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(self)
        self.server.script(self)
        self.close_connection = True

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

    def event(self, data: object) -> None:
        self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")

    def text(self, text: str, finish: str | None = None) -> None:
        self.event({"choices": [{"delta": {"content": text}, "finish_reason": finish}]})

    def complete(self, reason: str = "stop") -> None:
        self.event({"choices": [{"delta": {}, "finish_reason": reason}]})
        details = {"cached_tokens": 20}
        usage = {
            "prompt_tokens": 31, "completion_tokens": 4, "prompt_tokens_details": details,
        }  # fmt: skip
        self.event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def refuse(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: Script = lambda handler: None
        self.seen: list[Handler] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


class Answer:
    """What came of one generation."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.ends: list[GenerationEnd] = []
        self.first = threading.Event()
        self.over = threading.Event()

    def on_text(self, text: str) -> None:
        self.pieces.append(text)
        self.first.set()

    def on_end(self, end: GenerationEnd) -> None:
        self.ends.append(end)
        self.over.set()

    def end(self) -> GenerationEnd:
        assert self.over.wait(20), "the answer does not end"
        assert len(self.ends) == 1
        return self.ends[0]


def ask(url: str, **options: Any) -> tuple[Answer, OpenAIEndpoint]:
    endpoint = OpenAIEndpoint(url, "some-model", **options)
    answer = Answer()
    endpoint.open().generate(HELLO, Sampling(max_tokens=7), answer.on_text, answer.on_end)
    return answer, endpoint


def error_of(url: str, **options: Any) -> str:
    answer, endpoint = ask(url, **options)
    end = answer.end()
    endpoint.close()
    assert end.reason == "error" and isinstance(end.error, EngineError)
    assert KEY not in str(end.error)
    return str(end.error)


def test_streams_text_and_usage(server: Server) -> None:
    def script(handler: Handler) -> None:
        handler.begin()
        handler.wfile.write(b": a comment\n\n")
        for piece in ("Grüß", " dich", "! 😀"):
            handler.text(piece)
        handler.complete()

    server.script = script
    answer, endpoint = ask(server.url, api_key=KEY, extra={"chat_template_kwargs": {"a": 1}})
    end = answer.end()
    assert answer.pieces == ["Grüß", " dich", "! 😀"]
    assert (end.reason, end.error) == ("stop", None)
    assert end.usage == GenerationUsage(31, 20, 4, end.usage.busy_s)
    (request,) = server.seen
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.body["messages"][1] == {"role": "user", "content": "Grüß dich 😀"}
    assert request.body["stream_options"] == {"include_usage": True}
    assert (request.body["max_tokens"], request.body["model"]) == (7, "some-model")
    assert request.body["chat_template_kwargs"] == {"a": 1}
    endpoint.close()


def test_without_usage_the_pieces_are_counted(server: Server) -> None:
    def script(handler: Handler) -> None:
        handler.begin()
        handler.text("one")
        handler.text(" two", finish="length")

    server.script = script
    end = ask(server.url)[0].end()
    assert (end.reason, end.usage.generated_tokens) == ("length", 2)


def test_thoughts_are_not_spoken(server: Server) -> None:
    def script(handler: Handler) -> None:
        handler.begin()
        handler.event({"choices": [{"delta": {"reasoning_content": "hm"}}]})
        for piece in ("<th", "ink>secret</thi", "nk>\n\nHel", "lo."):
            handler.text(piece)
        handler.complete()

    server.script = script
    answer, _ = ask(server.url)
    answer.end()
    assert "".join(answer.pieces) == "Hello."


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, b'{"error": {"message": "bad key sk-very-secret"}}', "refuses the API key"),
        (404, b'{"error": "no such model"}', "model's name.*no such model"),
        (429, b"", "too many requests"),
        (500, b"<html>boom</html>", "HTTP 500.*its log.*boom"),
    ],
)
def test_refusals_name_the_url_and_the_remedy(
    server: Server, status: int, body: bytes, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = lambda handler: handler.refuse(status, body)
    with caplog.at_level(logging.DEBUG):
        message = error_of(server.url, api_key=KEY)
    assert f"{server.url}/chat/completions" in message
    assert re.search(told, message)
    assert KEY not in caplog.text


def test_hanging_up_in_the_middle_is_an_error(server: Server) -> None:
    def script(handler: Handler) -> None:
        handler.begin()
        handler.text("Half an")

    server.script = script
    answer, _ = ask(server.url)
    end = answer.end()
    assert answer.pieces == ["Half an"]
    assert end.reason == "error" and "middle of an answer" in str(end.error)


def test_an_error_inside_the_stream_is_told(server: Server) -> None:
    def script(handler: Handler) -> None:
        handler.begin()
        handler.event({"error": {"message": "out of memory"}})

    server.script = script
    assert "out of memory" in error_of(server.url)


def test_another_protocol_is_told(server: Server) -> None:
    def script(handler: Handler) -> None:
        handler.begin()
        handler.wfile.write(b"data: what?\n\n")

    server.script = script
    assert "does not speak the OpenAI protocol" in error_of(server.url)


def test_nobody_there_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert "is it running?" in error_of(f"http://127.0.0.1:{port}/v1")


def test_silence_ends_at_the_timeout(server: Server) -> None:
    release = threading.Event()
    server.script = lambda handler: assert_set(release)
    message = error_of(server.url, timeout_s=0.3)
    release.set()
    assert "no answer within 0.3 s" in message


def assert_set(event: threading.Event) -> None:
    assert event.wait(20)


def test_cancel_stops_while_the_server_goes_on(server: Server) -> None:
    release = threading.Event()

    def script(handler: Handler) -> None:
        handler.begin()
        handler.text("first")
        assert_set(release)

    server.script = script
    endpoint = OpenAIEndpoint(server.url, "some-model")
    answer = Answer()
    generation = endpoint.open().generate(HELLO, Sampling(), answer.on_text, answer.on_end)
    assert answer.first.wait(20)
    generation.cancel()
    end = answer.end()
    release.set()
    assert (end.reason, end.error, answer.pieces) == ("cancelled", None, ["first"])
    generation.cancel()


def test_close_ends_what_runs_and_leaves_no_thread(server: Server) -> None:
    release = threading.Event()

    def script(handler: Handler) -> None:
        handler.begin()
        handler.text("first")
        assert_set(release)

    server.script = script
    answer, endpoint = ask(server.url)
    assert answer.first.wait(20)
    endpoint.close()
    assert answer.end().reason == "cancelled"
    release.set()
    assert not [t for t in threading.enumerate() if t.name == "llm some-model"]
    with pytest.raises(EngineError, match="closed"):
        endpoint.open()


def test_a_receiver_that_raises_ends_the_answer_with_its_error(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    def script(handler: Handler) -> None:
        handler.begin()
        handler.text("first")
        handler.complete()

    def broken(text: str) -> None:
        raise RuntimeError("receiver broke")

    server.script = script
    endpoint = OpenAIEndpoint(server.url, "some-model")
    answer = Answer()
    endpoint.open().generate(HELLO, Sampling(), broken, answer.on_end)
    end = answer.end()
    assert end.reason == "error" and isinstance(end.error, RuntimeError)
    assert "receiver broke" in caplog.text


@pytest.mark.parametrize("url", ["localhost:8000", "", "ftp://host/v1", "http:///v1"])
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(EngineError, match="write it like"):
        OpenAIEndpoint(url, "some-model")


def test_a_password_in_the_url_is_not_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert "hunter2" not in error_of(f"http://me:hunter2@127.0.0.1:{port}/v1")


def test_lines_between_events_say_nothing() -> None:
    assert [parse_event(line) for line in (b"\n", b": ping\n", b"data: [DONE]\n")] == [None] * 3
    assert parse_event(b'data: {"choices": null, "usage": null}\r\n') == Chunk()
