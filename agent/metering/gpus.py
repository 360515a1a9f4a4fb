"""Busy seconds and joules of NVIDIA's GPUs, through NVML.

Both are of the whole device: another program on the same GPU is counted with the box.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger(__name__)

MILLI = 1e-3


@dataclass(slots=True)
class Gpus:
    """The GPUs that this process may use."""

    nvml: Any
    """The module pynvml, initialised."""
    devices: list[Any]
    _busy_s: float = 0.0
    _read_at_s: float | None = None
    _has_joules: bool = field(default=True)

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> "Gpus | None":
        """None, and a line in the log, where there is none or NVML is not there."""
        import pynvml

        try:
            pynvml.nvmlInit()
            devices = _visible(pynvml, environ.get("CUDA_VISIBLE_DEVICES"))
        except pynvml.NVMLError as error:
            log.warning("no GPU is metered: %s", error)
            return None
        return cls(pynvml, devices) if devices else None

    def busy_s(self, now_s: float) -> float:
        """Seconds that they were busy since the first reading, of several the sum.

        NVML tells a share of its last fraction of a second, which stands for the time since the
        last reading. ``now_s`` is of the monotonic clock. Raises NVMLError.
        """
        since_s = now_s - self._read_at_s if self._read_at_s is not None else 0.0
        self._read_at_s = now_s
        for device in self.devices:
            percent = self.nvml.nvmlDeviceGetUtilizationRates(device).gpu
            self._busy_s += percent / 100 * since_s
        return self._busy_s

    def joules(self) -> float | None:
        """Since the driver was loaded; None where a device does not tell (before Volta)."""
        if not self._has_joules:
            return None
        try:
            told = map(self.nvml.nvmlDeviceGetTotalEnergyConsumption, self.devices)
            return float(sum(told)) * MILLI
        except self.nvml.NVMLError as error:
            log.warning("the GPU's joules are not metered: %s", error)
            self._has_joules = False
            return None


def _visible(nvml: Any, named: str | None) -> list[Any]:
    """Those of CUDA_VISIBLE_DEVICES: places in NVML's order, or UUIDs; None: all there are.

    As CUDA does, it stops at the first that is none. CUDA numbers by speed unless
    CUDA_DEVICE_ORDER says PCI_BUS_ID: with GPUs of several kinds, name UUIDs.
    """
    count = nvml.nvmlDeviceGetCount()
    if named is None:
        return [nvml.nvmlDeviceGetHandleByIndex(place) for place in range(count)]
    devices = []
    for name in filter(None, (part.strip() for part in named.split(","))):
        if name.isdigit() and int(name) < count:
            devices.append(nvml.nvmlDeviceGetHandleByIndex(int(name)))
        elif name.startswith("GPU-"):
            devices.append(nvml.nvmlDeviceGetHandleByUUID(name))
        else:
            break
    return devices
