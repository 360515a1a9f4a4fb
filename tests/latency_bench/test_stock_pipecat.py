"""Stock Pipecat as a peer: a real call with real models, and what its spans tell of it."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import onnxruntime
import psutil
import pytest

from latency_bench.caller_webrtc import place_call
from latency_bench.conversation import Conversation
from latency_bench.measures.turns import turns_of
from latency_bench.part import spoken_part
from latency_bench.peers import PeerFailed, start
from latency_bench.questions import synthesised
from latency_bench.tracing.otlp_receiver import OtlpReceiver
from latency_bench.tracing.span_calls import with_spans
from latency_bench.tracing.span_turns import conversations_of
from latency_bench.words import word_error_rate
from models.loading import load_tts

QUESTION = "Where is the nearest train station?"
STEPS = {"transcript", "end_of_turn", "first_token", "first_clause", "first_audio", "first_packet"}
TURNS = 3
START_LIMIT_S = 180.0
"""For a machine that is busy with other things."""

pytestmark = pytest.mark.timeout(400)


async def test_it_answers_a_question_and_its_spans_say_how_long_it_took(tmp_path: Path) -> None:
    onnxruntime.set_seed(1)
    voice = load_tts("piper-en_US-joe-medium")
    question = synthesised([QUESTION], voice)[0]
    voice.close()
    config = tmp_path / "short.toml"
    config.write_text('[agent]\ngreeting = "Hello."\n[llm]\nmax_tokens = 12\n')
    before = set(psutil.Process().children(recursive=True))
    async with OtlpReceiver() as receiver:
        async with start(
            "stock-pipecat",
            otlp_url=receiver.url,
            config=config,
            arguments=("--calls", "2"),
            ready_limit_s=START_LIMIT_S,
        ) as target:
            family = set(psutil.Process().children(recursive=True)) - before
            assert any("llama_cpp.server" in " ".join(child.cmdline()) for child in family)
            # It misses a turn now and then, which is its own affair: three are asked.
            parts = [replace(spoken_part(question, step), wait_s=20.0) for step in range(TURNS)]
            recording = await place_call(
                target, lambda rate_hz: Conversation(parts, rate_hz), limit_s=120.0
            )
            async with asyncio.timeout(20):
                while not any(span.name == "conversation" for span in receiver.spans):
                    await asyncio.sleep(0.1)
        spans = await receiver.until_quiet(0.5, 5.0)
    _, alive = psutil.wait_procs(list(family), timeout=10)
    assert not alive, "the peer or its server outlived it"

    assert recording.end == "completed"
    offset_s = time.monotonic() - time.time()
    turns = turns_of(with_spans(recording, conversations_of(spans), offset_s))
    told = [turn for turn in turns if turn.counts and turn.heard and turn.inside_ms is not None]
    assert len(turns) == TURNS and told, turns
    assert any((word_error_rate([QUESTION], [turn.heard]) or 0.0) <= 0.5 for turn in told), told
    assert any(turn.answer for turn in told)
    for turn in told:
        # Where a step takes too long, Pipecat does not time it.
        assert set(turn.stages_ms) <= STEPS
        assert turn.inside_ms is not None and turn.outside_gap_ms is not None
        if turn.stages_ms:
            assert abs(sum(turn.stages_ms.values()) - turn.inside_ms) < 1.0
    assert any(set(turn.stages_ms) >= STEPS - {"first_audio"} for turn in told), told


async def test_a_peer_that_cannot_start_says_why(tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text('[models]\nstt = "no-such-model"\n')
    with pytest.raises(PeerFailed, match="(?s)before it was ready.*no-such-model"):
        async with start("stock-pipecat", config=config, ready_limit_s=START_LIMIT_S):
            pass
    with pytest.raises(PeerFailed, match="no peer is called 'stock'; there are: stock-pipecat"):
        async with start("stock"):
            pass
