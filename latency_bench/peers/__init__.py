"""Other voice agents, started beside the box so that both are measured in the same run."""

from latency_bench.peers.process import PEERS, PeerFailed, PeerProcess, running, start

__all__ = ["PEERS", "PeerFailed", "PeerProcess", "running", "start"]
