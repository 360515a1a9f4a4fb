"""`offhook bench llm`: the language model alone, beside the weights as shipped and beside the
high-level ``llama_cpp.Llama`` object, in one run.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from latency_bench.machine import machine_facts

BATCHES = (1, 2, 4, 8, 16)
BATCH_PROMPT_TOKENS = 64
BATCH_STEPS = 6


def run(args: argparse.Namespace) -> int:
    """Runs the bench; returns the exit status."""
    from latency_bench.llm_turns import first_tokens
    from models.errors import ModelError
    from models.llm.format_speed import measure_formats
    from models.llm.requantise import cache_folder, requantised
    from models.loading import locate
    from models.tuning import choose, machine_name

    console = Console(stderr=True)
    try:
        path = locate(args.model, "llm")
        cache = cache_folder()
        cache.mkdir(parents=True, exist_ok=True)
        with (
            TemporaryDirectory(dir=cache, prefix=".bench-") as folder,
            console.status("") as status,
        ):
            formats = measure_formats(path, Path(folder), args.threads, args.runs, status.update)
            chosen = choose(formats, machine_name())
            fast = path
            if chosen.format != "shipped":
                fast = requantised(path, Path(folder), formats=None, target_format=chosen.format)
            status.update("first tokens")
            first = first_tokens(path, fast, args.threads, args.runs)
            status.update("batches")
            batches = {
                name: _batches(file, args.threads, args.runs)
                for name, file in (("shipped", path), ("chosen", fast))
            }
    except (ModelError, OSError) as error:
        console.print(f"offhook bench llm: {error}", highlight=False, markup=False)
        return 1
    by_name = {one.format: one for one in formats}
    shipped, best = formats[0], by_name[chosen.format]
    report = {
        "machine": machine_facts({"llm": path.name}),
        "threads": args.threads,
        "runs": args.runs,
        "chosen": {"format": chosen.format, "why": chosen.why},
        "formats": [
            {
                "format": one.format,
                "prompt_tokens_per_s": round(one.prompt_tokens_per_s, 1),
                "answer_tokens_per_s": round(one.answer_tokens_per_s, 1),
                "nll": round(one.nll, 4),
                "size_mb": round(one.size_mb, 1),
            }
            for one in formats
        ],
        "first": first,
        "batches": batches,
        "ratios": {
            "prompt_speed_chosen_to_shipped": _ratio(
                best.prompt_tokens_per_s, shipped.prompt_tokens_per_s
            ),
            "answer_speed_chosen_to_shipped": _ratio(
                best.answer_tokens_per_s, shipped.answer_tokens_per_s
            ),
            "nll_chosen_less_shipped": round(best.nll - shipped.nll, 4),
            "first_token_warm_to_cold": _ratio(
                first["chosen"]["warm"]["first_token_ms"], first["chosen"]["cold"]["first_token_ms"]
            ),
            "first_token_prepared_to_warm": _ratio(
                first["chosen"]["prepared"]["first_token_ms"],
                first["chosen"]["warm"]["first_token_ms"],
            ),
            "first_token_alternating_to_llama_object": _ratio(
                first["chosen"]["warm"]["first_token_ms"],
                first["llama_object"]["alternating"]["first_token_ms"],
            ),
            "first_token_prepared_to_llama_object": _ratio(
                first["chosen"]["prepared"]["first_token_ms"],
                first["llama_object"]["warm"]["first_token_ms"],
            ),
            "first_clause_prepared_to_llama_object": _ratio(
                first["chosen"]["prepared"]["first_clause_ms"],
                first["llama_object"]["warm"]["first_clause_ms"],
            ),
            "batch_of_8_to_1": _ratio(batches["chosen"]["8"], batches["chosen"]["1"]),
        },
    }
    _show(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _batches(path: Path, threads: int, runs: int) -> dict[str, float]:
    """Answer tokens a second of all conversations together, by their number."""
    from latency_bench.llm_turns import PERSONA
    from models.llm.llama_native import LlamaContext, LlamaModel

    model = LlamaModel(path, "cpu")
    most = max(BATCHES)
    context = LlamaContext(model, most, most * 128, BATCH_PROMPT_TOKENS, threads)
    took: dict[int, list[float]] = {size: [] for size in BATCHES}
    try:
        tokens = model.tokenize(PERSONA * 4)[:BATCH_PROMPT_TOKENS]
        for sequence in range(most):
            context.evaluate([(sequence, i, token, False) for i, token in enumerate(tokens)])
        for _ in range(runs):
            for size in BATCHES:
                began_s = time.perf_counter()
                for step in range(BATCH_STEPS):
                    at = len(tokens) + step
                    context.evaluate([(s, at, tokens[step], True) for s in range(size)])
                took[size].append((time.perf_counter() - began_s) / BATCH_STEPS)
                for sequence in range(size):
                    context.forget(sequence, len(tokens))
    finally:
        context.close()
        model.close()
    return {str(size): round(size / statistics.median(took[size]), 1) for size in BATCHES}


def _ratio(ours: float, baseline: float) -> float:
    return round(ours / baseline, 3)


def _show(report: dict[str, Any]) -> None:
    console = Console()
    formats = Table(title="weight formats", title_justify="left")
    for heading in ("format", "prompt tokens/s", "answer tokens/s", "mean NLL", "MB"):
        formats.add_column(heading, justify="left" if heading == "format" else "right")
    for one in report["formats"]:
        mark = " *" if one["format"] == report["chosen"]["format"] else ""
        figures = ("prompt_tokens_per_s", "answer_tokens_per_s", "nll", "size_mb")
        formats.add_row(one["format"] + mark, *(str(one[figure]) for figure in figures))
    console.print(formats)
    first = Table(title="first token / first clause, ms", title_justify="left")
    kinds = ("cold", "warm", "prepared", "alternating")
    for heading in ("engine", *kinds):
        first.add_column(heading, justify="left" if heading == "engine" else "right")
    for engine, found in report["first"].items():
        cells = [
            f"{found[kind]['first_token_ms']} / {found[kind]['first_clause_ms']}"
            if kind in found
            else ""
            for kind in kinds
        ]
        first.add_row(engine, *cells)
    console.print(first)
    batches = Table(title="answer tokens/s of all conversations in a step", title_justify="left")
    for heading in ("weights", *map(str, BATCHES)):
        batches.add_column(heading, justify="left" if heading == "weights" else "right")
    for name, speeds in report["batches"].items():
        batches.add_row(name, *(str(speeds[str(size)]) for size in BATCHES))
    console.print(batches)
    for name, value in report["ratios"].items():
        console.print(f"{name:44}{value}", highlight=False)
