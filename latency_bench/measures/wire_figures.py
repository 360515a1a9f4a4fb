"""The agent's packets and sound -> what the wire was worth. Pure."""

from collections.abc import Sequence

from latency_bench.figures import WireFigures
from latency_bench.measures.dropouts import dropouts
from latency_bench.measures.echo import Echo
from latency_bench.measures.emodel import mos
from latency_bench.measures.loudness import loudness
from latency_bench.measures.packet_figures import packet_figures
from latency_bench.measures.voices import Voice
from latency_bench.recording import CallRecording
from latency_bench.wire import Segment


def wire_figures(
    recording: CallRecording,
    segments: Sequence[Segment],
    voices: Sequence[Voice],
    echo: Echo | None,
) -> WireFigures:
    """Everything about the agent's stream; ``segments``, ``voices`` and ``echo``: of it."""
    packets = packet_figures(recording.packets, voices)
    sound = loudness(recording.received, segments)
    broken = 0
    if sound.level_dbfs is not None:
        broken = dropouts(recording.received, segments, sound.level_dbfs, lost=packets.lost > 0)
    return WireFigures(
        packets=packets.packets,
        lost=packets.lost,
        late=packets.late,
        gap_max_ms=packets.gap_max_ms,
        gap_p99_ms=packets.gap_p99_ms,
        jitter_ms=packets.jitter_ms,
        concealed=packets.concealed,
        mos=mos(
            recording.codec,
            packets.adaptive_concealed,
            packets.packet_s * 1000 + packets.adaptive_buffer_ms,
        )
        if packets.packets
        else None,
        level_dbfs=sound.level_dbfs,
        peak_dbfs=sound.peak_dbfs,
        clipped=sound.clipped,
        broken=broken,
        echo_db=echo.level_db if echo else None,
    )
