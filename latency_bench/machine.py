"""The machine that figures come from."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import psutil

from agent.capacity import cpu_name

GPU_LIMIT_S = 10.0


def machine_facts(models: Mapping[str, str]) -> dict[str, Any]:
    """Processor, memory and software, for a report; ``models`` by kind."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count() or 1,
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
        "gpu": _gpu_name(),
        "models": dict(models),
    }


def _gpu_name() -> str | None:
    """The first NVIDIA GPU, as its driver names it; None without one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        asked = subprocess.run(
            [program, "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=GPU_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip().splitlines()[0] if asked.stdout.strip() else None
