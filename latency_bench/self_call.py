"""One call from a process of its own: asks a question and reports what came back.

``python -m latency_bench.self_call OFFER_URL`` prints one JSON object. The measured side and
the caller share no interpreter, so that neither waits for the other's.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from latency_bench.caller_webrtc import place_call
from latency_bench.conversation import Conversation
from latency_bench.measures.measure import cost_of, turns_of
from latency_bench.part import spoken_part
from latency_bench.questions import QUESTIONS, from_wav, synthesised
from latency_bench.recording import CallFailed, CallRecording
from latency_bench.target import Target
from latency_bench.utterance import SpeechError, Utterance
from latency_bench.words import overlap
from models.errors import ModelError
from models.loading import load_stt, load_tts

CALL_LIMIT_S = 90.0
HEARD_BACK = 0.5
"""Share of the answer's words that must be recognised in the returned audio."""


def result_of(recording: CallRecording, question: Utterance, returned_text: str) -> dict[str, Any]:
    """The call's result in the form that `offhook demo --json` writes."""
    turns = turns_of(recording)
    turn = turns[0] if turns else None
    answer = turn.answer if turn else ""
    return {
        "heard": turn.heard if turn else "",
        "expected": question.expected or "",
        "answer": answer,
        "returned_audio_text": returned_text,
        "v2v_ms": turn.v2v_ms if turn else None,
        "stages_ms": dict(turn.stages_ms) if turn else {},
        "cost_usd": cost_of(recording),
        "inside_ms": turn.inside_ms if turn else None,
        "returned_share": overlap(answer, returned_text),
        "question_source": question.source,
        "call_end": recording.end,
    }


def failing(result: dict[str, Any]) -> str | None:
    """Why the call was no success; None where speech was recognised, answered and heard."""
    if not result["heard"]:
        return "the box recognised no speech"
    if not result["answer"]:
        return "the box had no answer"
    if result["v2v_ms"] is None:
        return "no voice came back"
    if result["returned_share"] < HEARD_BACK:
        return (
            f"only {result['returned_share']:.0%} of the answer's words were recognised in the "
            "returned audio"
        )
    return None


def returned_text(recording: CallRecording, stt: str, device: str) -> str:
    """The answer as a recogniser hears it in the audio that came back."""
    turns = turns_of(recording)
    if not turns or turns[0].missed:
        return ""
    received = recording.received
    margin = received.rate_hz // 5
    start = max(0, turns[0].answer_from - margin)
    recogniser = load_stt(stt, device=device)
    try:
        pcm = received.pcm[start : turns[0].answer_to + margin]
        return recogniser.transcribe(pcm, received.rate_hz).text.strip()
    finally:
        recogniser.close()


def question_of(args: argparse.Namespace) -> Utterance:
    """What to ask. Raises SpeechError or ModelError."""
    if args.wav is not None:
        return from_wav(args.wav)
    voice = load_tts(args.tts, device=args.device)
    try:
        return synthesised([args.say or QUESTIONS[0]], voice)[0]
    finally:
        voice.close()


def main(argv: list[str] | None = None) -> int:
    """Places the call; 0 once it was placed and reported, 2 where it could not be."""
    parser = argparse.ArgumentParser(prog="latency_bench.self_call")
    parser.add_argument("offer_url")
    parser.add_argument("--wav", type=Path)
    parser.add_argument("--say")
    parser.add_argument("--stt", required=True, help="recogniser for the returned audio")
    parser.add_argument("--tts", required=True, help="voice for the question")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(argv)
    try:
        question = question_of(args)
        recording = asyncio.run(
            place_call(
                Target("webrtc", args.offer_url, token=os.environ.get("OFFHOOK_TOKEN")),
                lambda rate_hz: Conversation([spoken_part(question)], rate_hz),
                limit_s=CALL_LIMIT_S,
            )
        )
        text = returned_text(recording, args.stt, args.device)
    except (CallFailed, SpeechError, ModelError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(result_of(recording, question, text)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
