"""`offhook bench`: measures a box from the caller's side of the wire."""

import argparse
from pathlib import Path

from latency_bench import (
    llm_options,
    metering_options,
    report_command,
    stt_bench,
    tts_options,
)
from latency_bench.calibration import command as calibrate
from latency_bench.compare_peers import command as compare_peers
from latency_bench.endpointing import options as endpointing
from latency_bench.load import options as load_options
from latency_bench.options import add_run_arguments
from latency_bench.quality import options as quality_options
from latency_bench.simulation import options as simulation


def command(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `offhook bench`."""
    bench = subparsers.add_parser(
        "bench",
        help="measure a box from the caller's side of the wire",
        description="Calls a box as a caller would and measures it from outside, with a clock "
        "of its own. docs/measuring.md says how.",
    )
    kinds = bench.add_subparsers(title="benches", metavar="BENCH", required=True)
    run = kinds.add_parser(
        "run",
        help="call any voice agent as scenarios say",
        description="Calls TARGET over SIP, WebRTC or a carrier's WebSocket as a caller would, "
        "does what the scenarios say, and reports what came back, measured on the caller's side "
        "of the wire. Ctrl-C stops it and still reports what ran.",
    )
    add_run_arguments(run)
    run.set_defaults(func=_run_run)
    quick = kinds.add_parser(
        "quick",
        help="20 questions, one call at a time",
        description="Starts a box in a process of its own, asks it questions over WebRTC, one "
        "call at a time and five questions a call, and reports voice-to-voice latency, stages, "
        "missed turns, word errors, memory, start-up and idle processor time. Ctrl-C stops it "
        "and still reports what ran.",
    )
    quick.add_argument(
        "--questions",
        "--calls",
        type=_count,
        default=20,
        metavar="N",
        help="how many questions to ask (default: 20)",
    )
    quick.add_argument(
        "--speech",
        type=Path,
        metavar="DIR",
        help="ask with recordings: a folder with a manifest.json; else they are synthesised",
    )
    quick.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    quick.add_argument(
        "--url",
        metavar="URL",
        help="measure a box that already runs there, without figures of its process",
    )
    quick.set_defaults(func=_run_quick)
    sip = kinds.add_parser(
        "sip",
        help="the telephone door alone, at 1, 10 and 20 calls at once",
        description="Places calls over SIP and RTP (G.711) to an agent without models, or to "
        "TARGET, and reports answer time, gaps between its packets, the delay that it adds to "
        "what it sends back, processor time a call, and lost packets.",
    )
    sip.add_argument("target", nargs="?", help="another agent, as sip:agent@ADDRESS:PORT")
    sip.add_argument(
        "--calls",
        type=_counts,
        default=[1, 10, 20],
        metavar="N,N,...",
        help="calls at once in each round (default: 1,10,20)",
    )
    sip.add_argument(
        "--seconds", type=_seconds, default=20, metavar="S", help="of a round (default: 20)"
    )
    sip.add_argument(
        "--echo", action="store_true", help="TARGET says back what it hears: report its delay"
    )
    sip.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    sip.set_defaults(func=_run_sip)
    faults = kinds.add_parser(
        "faults",
        help="what lost, late and reordered packets do to recognition",
        description="Says recordings over SIP (G.711) through networks that lose, delay and "
        "reorder packets or fail for two seconds, each between two network namespaces of its "
        "own, and reports the word error rate of what the SIP door heard.",
    )
    faults.add_argument(
        "--speech",
        type=Path,
        required=True,
        metavar="DIR",
        help="recordings: a folder with a manifest.json",
    )
    faults.add_argument(
        "--utterances",
        type=_count,
        default=40,
        metavar="N",
        help="how many recordings to say (default: 40)",
    )
    faults.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    faults.set_defaults(func=_run_faults)
    load_options.add_capacity_parser(kinds)
    load_options.add_soak_parser(kinds)
    for module in (
        compare_peers,
        quality_options,
        endpointing,
        stt_bench,
        llm_options,
        tts_options,
        metering_options,
        simulation,
        calibrate,
        report_command,
    ):
        module.add_parser(kinds)


def _run_run(args: argparse.Namespace) -> int:
    from latency_bench.run import run

    return run(args)


def _run_quick(args: argparse.Namespace) -> int:
    # Imported when it runs: `offhook --help` stays quick.
    from latency_bench.quick import run

    return run(args)


def _run_sip(args: argparse.Namespace) -> int:
    from latency_bench.sip_bench import run

    return run(args)


def _run_faults(args: argparse.Namespace) -> int:
    from latency_bench.network_faults import run

    return run(args)


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",") if part.isdigit()]
    if len(counts) != text.count(",") + 1 or not all(1 <= count <= 250 for count in counts):
        raise argparse.ArgumentTypeError(f"must be numbers of 1 to 250, such as 1,10, not {text!r}")
    return counts


def _seconds(text: str) -> int:
    if not text.isdigit() or not 4 <= int(text) <= 600:
        raise argparse.ArgumentTypeError(f"must be 4 to 600, not {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"must be 1 to 1000, not {text!r}")
    return int(text)
