"""llama.cpp as a model, a context of several sequences, and a sampler: the thinnest shell."""

import ctypes
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp as native
import numpy as np

from models.errors import EngineError, ModelCorrupt
from models.llm.base import Sampling
from models.llm.prefix_cache import PrefixCache

log = logging.getLogger(__name__)

PENALISED_TOKENS = 64
"""How far back in the answer the repeat penalty looks."""
FEW_CELLS = 2048
FEW_SEQUENCES = 5
"""Up to either plain attention is used. It reads a short prompt a third faster for one caller, and
as fast among four; flash attention skips other conversations' cells, and is ahead with many."""
CANDIDATES = 40
"""The likeliest tokens that sampling with a temperature chooses from."""


@native.llama_log_callback  # type: ignore[untyped-decorator]
def _log_to_python(_level: int, text: bytes, _user_data: Any) -> None:
    log.debug("%s", text.decode("utf-8", "replace").rstrip())


def route_log() -> None:
    """Sends what llama.cpp prints to Python's logging, at debug level."""
    native.llama_log_set(_log_to_python, ctypes.c_void_p(0))


class LlamaModel:
    """A GGUF file's weights and vocabulary."""

    def __init__(self, path: Path, device: str) -> None:
        route_log()
        native.llama_backend_init()
        params = native.llama_model_default_params()
        params.n_gpu_layers = -1 if device == "cuda" else 0
        self.pointer = native.llama_model_load_from_file(str(path).encode(), params)
        if not self.pointer:
            raise ModelCorrupt(
                f"llama.cpp cannot load {path}: its architecture or tensors are unknown to this "
                "build; fetch the file again, or choose a model that llama.cpp supports"
            )
        self._vocab = native.llama_model_get_vocab(self.pointer)
        self.vocabulary = native.llama_vocab_n_tokens(self._vocab)
        # Such models keep a running state, which cannot be wound back to an earlier token.
        self.rewindable = not (
            native.llama_model_is_recurrent(self.pointer)
            or native.llama_model_is_hybrid(self.pointer)
        )

    @property
    def context_trained(self) -> int:
        """Tokens of context that the model was trained with."""
        return int(native.llama_model_n_ctx_train(self.pointer))

    @property
    def chat_template(self) -> str | None:
        """The Jinja template in the file, if it has any."""
        text = native.llama_model_chat_template(self.pointer, None)
        return text.decode("utf-8") if text else None

    @property
    def bos(self) -> str:
        """Text of the token that begins a document, empty where there is none."""
        return self._text_of(native.llama_vocab_bos(self._vocab))

    @property
    def eos(self) -> str:
        """Text of the token that ends a document, empty where there is none."""
        return self._text_of(native.llama_vocab_eos(self._vocab))

    def control_texts(self) -> list[str]:
        """Texts of all control tokens."""
        tokens = range(self.vocabulary)
        return [self._text_of(t) for t in tokens if native.llama_vocab_is_control(self._vocab, t)]

    def _text_of(self, token: int) -> str:
        if token < 0:
            return ""
        return str(native.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace"))

    def tokenize(self, text: str) -> list[int]:
        """Tokens of a rendered prompt; control tokens in it are recognised."""
        data = text.encode("utf-8", "replace")
        # A template that wrote the beginning itself must not get a second one.
        add_special = not (self.bos and text.startswith(self.bos))
        size = len(data) + 8
        buffer = (native.llama_token * size)()
        found = native.llama_tokenize(self._vocab, data, len(data), buffer, size, add_special, True)
        if found < 0:
            raise EngineError(f"a prompt of {len(data)} bytes cannot be tokenised")
        return list(buffer[:found])

    def piece(self, token: int) -> bytes:
        """What ``token`` says: nothing for control tokens, but for those around thoughts."""
        if native.llama_vocab_is_control(self._vocab, token):
            text = self._text_of(token)
            return text.encode() if text in ("<think>", "</think>") else b""
        buffer = ctypes.create_string_buffer(64)
        size = native.llama_token_to_piece(self._vocab, token, buffer, 64, 0, True)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = native.llama_token_to_piece(self._vocab, token, buffer, -size, 0, True)
        return buffer.raw[:size]

    def ends_answer(self, token: int) -> bool:
        """Whether ``token`` closes the assistant's turn."""
        return bool(native.llama_vocab_is_eog(self._vocab, token))

    def close(self) -> None:
        """Frees the weights; the contexts must be gone."""
        native.llama_model_free(self.pointer)


class LlamaContext:
    """Evaluated tokens of several sequences, and one step over some of them."""

    def __init__(
        self, model: LlamaModel, sequences: int, cells: int, step_tokens: int, threads: int
    ) -> None:
        self._threads = self._prompt_threads = threads
        params = native.llama_context_default_params()
        params.n_ctx = cells
        params.n_batch = params.n_ubatch = step_tokens
        params.n_seq_max = sequences
        params.n_outputs_max = sequences
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        if cells <= FEW_CELLS or sequences <= FEW_SEQUENCES:
            params.flash_attn_type = native.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.swa_full = True
        params.no_perf = True
        self.pointer = native.llama_init_from_model(model.pointer, params)
        if not self.pointer:
            raise EngineError(
                f"llama.cpp cannot make a context of {cells} tokens: too little memory; "
                "lower context_tokens, cache_tokens or max_conversations"
            )
        self.cells = int(native.llama_n_ctx(self.pointer))
        self._memory = native.llama_get_memory(self.pointer)
        self._batch = native.llama_batch_init(step_tokens, 0, 1)
        self.can_shift = bool(native.llama_memory_can_shift(self._memory))

    def use_threads(self, prompt_threads: int) -> None:
        """Threads for the next steps of more than one token."""
        if prompt_threads != self._prompt_threads:
            self._prompt_threads = prompt_threads
            native.llama_set_n_threads(self.pointer, self._threads, prompt_threads)

    def evaluate(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        """One step over rows of (sequence, position, token, whether its output is wanted).

        Raises EngineError when llama.cpp could not evaluate it.
        """
        batch = self._batch
        batch.n_tokens = len(rows)
        for i, (sequence, position, token, output) in enumerate(rows):
            batch.token[i] = token
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = output
        status = native.llama_decode(self.pointer, batch)
        if status != 0:
            raise EngineError(f"llama.cpp could not evaluate {len(rows)} tokens (code {status})")

    def loss(self, row: int, token: int, vocabulary: int) -> float:
        """Minus the natural logarithm of ``token``'s probability after ``row`` of the step."""
        pointer = native.llama_get_logits_ith(self.pointer, row)
        logits = np.ctypeslib.as_array(pointer, (vocabulary,)).astype(np.float64)
        top = logits.max()
        return float(top + np.log(np.exp(logits - top).sum()) - logits[token])

    def forget(self, sequence: int, start: int) -> bool:
        """Removes all of ``sequence`` from position ``start``; False where it cannot."""
        return bool(native.llama_memory_seq_rm(self._memory, sequence, start, -1))

    def copy(self, source: int, target: int, length: int) -> None:
        """Adds the first ``length`` tokens of ``source`` to ``target``, which must be empty."""
        native.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def cut_out(self, sequence: int, start: int, end: int) -> None:
        """Removes positions ``start`` to ``end`` and gives what follows their positions.

        For contexts that ``can_shift``; the cells that follow must be this sequence's alone.
        """
        native.llama_memory_seq_rm(self._memory, sequence, start, end)
        native.llama_memory_seq_add(self._memory, sequence, end, -1, start - end)

    def close(self) -> None:
        """Frees the context."""
        native.llama_batch_free(self._batch)
        native.llama_free(self.pointer)


class NativeCache(PrefixCache):
    """The mirror that moves the native cache along."""

    def __init__(self, context: LlamaContext, sequences: int, rewindable: bool) -> None:
        super().__init__(sequences, context.cells)
        self._context = context
        self._rewindable = rewindable

    def truncate(self, sequence: int, length: int) -> int:
        if length >= self.length(sequence):
            return self.length(sequence)
        if not (length and self._rewindable and self._context.forget(sequence, length)):
            length = 0
            self._context.forget(sequence, -1)
        return super().truncate(sequence, length)

    def cut_out(self, sequence: int, start: int, end: int) -> bool:
        possible = self._rewindable and self._context.can_shift
        if not (possible and super().cut_out(sequence, start, end)):
            return False
        self._context.cut_out(sequence, start, end)
        return True

    def copy(self, source: int, target: int, length: int) -> int:
        if not self._rewindable and length != self.length(source):
            return self.truncate(target, 0)
        self.truncate(target, 0)
        self._context.copy(source, target, length)
        return super().copy(source, target, length)


class LlamaSampler:
    """Chooses one answer's tokens."""

    def __init__(self, model: LlamaModel, sampling: Sampling) -> None:
        params = native.llama_sampler_chain_default_params()
        params.no_perf = True
        self._chain = native.llama_sampler_chain_init(params)
        for link in self._links(model, sampling):
            native.llama_sampler_chain_add(self._chain, link)

    @staticmethod
    def _links(model: LlamaModel, sampling: Sampling) -> list[Any]:
        links = []
        if sampling.repeat_penalty != 1.0:
            links.append(
                native.llama_sampler_init_penalties(
                    model.vocabulary, PENALISED_TOKENS, sampling.repeat_penalty, 0.0, 0.0
                )
            )
        if sampling.temperature <= 0:
            return [*links, native.llama_sampler_init_greedy()]
        return [
            *links,
            native.llama_sampler_init_top_k(CANDIDATES),
            native.llama_sampler_init_top_p(sampling.top_p, 1),
            native.llama_sampler_init_temp(sampling.temperature),
            native.llama_sampler_init_dist(sampling.seed),
        ]

    def next_token(self, context: LlamaContext, row: int) -> int:
        """The token after row ``row`` of the step just evaluated."""
        return int(native.llama_sampler_sample(self._chain, context.pointer, row))

    def close(self) -> None:
        """Frees the chain."""
        native.llama_sampler_free(self._chain)
