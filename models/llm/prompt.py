"""Messages -> prompt tokens: the model's chat template, and what to drop when they are many."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from jinja2 import TemplateError
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from models.errors import EngineError
from models.llm.base import Message
from models.llm.prefix_cache import common_prefix

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For models that bring no template."""


def merged(messages: Sequence[Message]) -> list[Message]:
    """The conversation as strict templates want it: no two neighbours of the same role,
    and nothing from the assistant before the user's first words."""
    result: list[Message] = []
    for message in messages:
        if result and result[-1].role == message.role:
            joined = f"{result[-1].content}\n{message.content}".strip()
            result[-1] = replace(message, content=joined)
        else:
            if message.role == "assistant" and (not result or result[-1].role == "system"):
                result.append(Message("user", "Hello?"))
            result.append(message)
    return result


def without_system(messages: Sequence[Message]) -> list[Message]:
    """The same with the system prompt put before the user's first words, for models without
    that role."""
    system = "\n".join(m.content for m in messages if m.role == "system")
    rest = merged([m for m in messages if m.role != "system"])
    if not system:
        return rest
    if not rest:
        return [Message("user", system)]
    return [Message("user", f"{system}\n\n{rest[0].content}"), *rest[1:]]


class ChatTemplate:
    """A model's own Jinja template; ``text`` None means ChatML.

    Raises EngineError for a template that cannot be read.
    """

    def __init__(self, text: str | None, bos: str, eos: str) -> None:
        try:
            self._format = Jinja2ChatFormatter(
                text or CHATML, eos_token=eos, bos_token=bos, add_generation_prompt=True
            )
        except TemplateError as error:
            raise EngineError(
                f"the model's chat template is no Jinja template ({error}); fetch a newer "
                "conversion of the model"
            ) from error

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt that asks for the assistant's next words, thinking switched off.

        Templates that insist on alternating roles, or know no system role, get the
        messages so. Raises EngineError when the template refuses them all the same.
        """
        failure: Exception | None = None
        for shape in (list, merged, without_system):
            try:
                return self._rendered(shape(messages))
            except (TemplateError, ValueError, TypeError, KeyError) as error:
                failure = error
        raise EngineError(
            f"the model's chat template refuses this conversation ({failure}); "
            "use a model made for conversation (an 'instruct' or 'chat' one)"
        ) from failure

    def _rendered(self, messages: Sequence[Message]) -> str:
        entries: list[Any] = [{"role": m.role, "content": m.content} for m in messages]
        # Templates without thinking ignore the name; Qwen3's closes the thought at once.
        return self._format(messages=entries, enable_thinking=False).prompt


Tokenize = Callable[[str], list[int]]


class Prompter:
    """Messages -> tokens for one model.

    ``reserved`` are the texts of its control tokens: callers cannot speak them into the
    prompt, since they are taken out of every message.
    """

    def __init__(
        self, template: ChatTemplate, tokenize: Tokenize, reserved: Sequence[str] = ()
    ) -> None:
        self._template = template
        self._tokenize = tokenize
        longest_first = sorted(filter(None, reserved), key=len, reverse=True)
        self._reserved = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The whole prompt, ready for the assistant's first token."""
        clean = [replace(m, content=self._reserved.sub("", m.content)) for m in messages]
        return self._tokenize(self._template.render(clean))

    def settled(self, messages: Sequence[Message], dropped: int = 0) -> list[int]:
        """The head of the prompt that stays, whatever the user says next.

        Where the last message is the user's, they may still be speaking: more words may
        follow it. ``dropped`` of the oldest entries are left out, as by ``fitted``.
        """
        system, spoken = _parted(messages)
        messages = [*system, *spoken[min(dropped, max(0, len(spoken) - 1)) :]]
        if messages and messages[-1].role == "user":
            *before, last = messages
            endings = [replace(last, content=last.content + more) for more in (" a", " B?")]
        else:
            before = list(messages)
            endings = [Message("user", said) for said in ("a", "B?")]
        first, second = (self.tokens([*before, ending]) for ending in endings)
        return first[: common_prefix(first, second)]

    def fitted(
        self, messages: Sequence[Message], budget: int, dropped: int = 0, keep: float = 0.75
    ) -> tuple[list[int], int]:
        """Tokens of at most ``budget``, and how many of the oldest entries are left out.

        System messages always stay, and so does the last message. ``dropped`` is what the
        turn before left out: while that still fits it is kept, so that the prompt's head,
        and what was evaluated of it, stays the same; when it does not, only ``keep`` of the
        budget stays in use. Raises EngineError when not even the last fits.
        """
        system, spoken = _parted(messages)
        start = min(dropped, max(0, len(spoken) - 1))
        tokens = self.tokens([*system, *spoken[start:]])
        goal = budget
        while len(tokens) > goal and start < len(spoken) - 1:
            goal = int(budget * keep)
            start = _next_turn(spoken, start)
            tokens = self.tokens([*system, *spoken[start:]])
        if len(tokens) > budget:
            raise EngineError(
                f"the system prompt and the last message take {len(tokens)} tokens and "
                f"{budget} fit beside the answer; shorten the system prompt or raise context_tokens"
            )
        return tokens, start


def _parted(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """The system messages, and all others."""
    system = [m for m in messages if m.role == "system"]
    return system, [m for m in messages if m.role != "system"]


def _next_turn(spoken: Sequence[Message], start: int) -> int:
    """Where the next user's words begin, or the last message."""
    later = range(start + 1, len(spoken) - 1)
    return next((i for i in later if spoken[i].role == "user"), len(spoken) - 1)
