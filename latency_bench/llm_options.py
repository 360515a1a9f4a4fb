"""What `offhook bench llm` takes; light, for `offhook --help` reads it."""

import argparse
from pathlib import Path


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook bench llm`."""
    parser = kinds.add_parser(
        "llm",
        help="the language model alone: formats, first token, batches",
        description="Measures the language model without a call: prompt and answer speed by "
        "weight format with what each costs in quality, the first token and clause of a cold, "
        "a warm and a prepared conversation, and several conversations in one step. Beside it, "
        "in the same run: the weights as shipped, and llama-cpp-python's own Llama object.",
    )
    parser.add_argument(
        "--model",
        default="smollm2-135m-instruct",
        metavar="NAME",
        help="a name of the catalogue or a GGUF file (default: the default model)",
    )
    parser.add_argument(
        "--runs", type=_runs, default=5, metavar="N", help="of each measurement (default: 5)"
    )
    parser.add_argument(
        "--threads", type=_runs, default=1, metavar="N", help="of the engine (default: 1)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    # Imported when it runs: `offhook --help` stays quick.
    from latency_bench.llm_bench import run

    return run(args)


def _runs(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"must be 1 to 100, not {text!r}")
    return int(text)
