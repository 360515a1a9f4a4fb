"""The machine's counters: those that are there, those that are not, those that break."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.metering.counters import MachineCounters
from agent.metering.gpus import Gpus
from agent.metering.rapl import Rapl


def a_package(root: Path, place: int, name: str, joules: int) -> Path:
    folder = root / f"intel-rapl:{place}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text("262143328850\n")
    (folder / "energy_uj").write_text(f"{joules * 1_000_000}\n")
    return folder


def test_packages_add_up_and_what_lies_within_them_does_not(tmp_path: Path) -> None:
    one = a_package(tmp_path, 0, "package-0", 1000)
    two = a_package(tmp_path, 1, "package-1", 500)
    psys = a_package(tmp_path, 2, "psys", 5000)
    rapl = Rapl.find(tmp_path)
    assert rapl is not None
    for folder, joules in ((one, 1030), (two, 512), (psys, 9000)):
        (folder / "energy_uj").write_text(f"{joules * 1_000_000}\n")
    assert rapl.joules() == pytest.approx(42.0)


def test_a_counter_that_comes_round_goes_on(tmp_path: Path) -> None:
    folder = a_package(tmp_path, 0, "package-0", 262_143)
    rapl = Rapl.find(tmp_path)
    assert rapl is not None
    (folder / "energy_uj").write_text("3000000\n")
    assert rapl.joules() == pytest.approx(262_143.32885 - 262_143 + 3)


def test_without_counters_there_is_none(tmp_path: Path) -> None:
    assert Rapl.find(tmp_path / "nowhere") is None
    (a_package(tmp_path, 0, "package-0", 1) / "energy_uj").unlink()
    assert Rapl.find(tmp_path) is None


class Nvml:
    """NVML with two GPUs, and one counter that a test may break."""

    class NVMLError(Exception):
        pass

    def __init__(self, percents: dict[str, float]) -> None:
        self.percents = percents
        self.tells_joules = True

    def nvmlDeviceGetUtilizationRates(self, device: str) -> SimpleNamespace:
        return SimpleNamespace(gpu=self.percents[device])

    def nvmlDeviceGetTotalEnergyConsumption(self, device: str) -> int:
        if not self.tells_joules:
            raise self.NVMLError("not supported")
        return 250_000


def test_a_gpus_share_of_the_time_becomes_seconds() -> None:
    gpus = Gpus(Nvml({"one": 50, "two": 25}), ["one", "two"])
    assert gpus.busy_s(100.0) == 0.0
    assert gpus.busy_s(102.0) == pytest.approx(1.5)
    assert gpus.busy_s(103.0) == pytest.approx(2.25)
    assert gpus.joules() == pytest.approx(500.0)


def test_a_gpu_that_tells_no_joules_still_tells_seconds() -> None:
    nvml = Nvml({"one": 100})
    nvml.tells_joules = False
    gpus = Gpus(nvml, ["one"])
    gpus.busy_s(1.0)
    assert (gpus.joules(), gpus.joules(), gpus.busy_s(2.0)) == (None, None, 1.0)


class Listing:
    def nvmlDeviceGetCount(self) -> int:
        return 3

    def nvmlDeviceGetHandleByIndex(self, place: int) -> str:
        return f"place {place}"

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        return name


@pytest.mark.parametrize(
    ("named", "devices"),
    [
        (None, ["place 0", "place 1", "place 2"]),
        ("", []),
        ("2", ["place 2"]),
        ("1, GPU-ab", ["place 1", "GPU-ab"]),
        ("0,7,1", ["place 0"]),
    ],
)
def test_only_gpus_that_the_box_may_use_are_metered(named: str | None, devices: list[str]) -> None:
    from agent.metering.gpus import _visible

    assert _visible(Listing(), named) == devices


def test_this_machine_is_read() -> None:
    counters = MachineCounters()
    before = counters.read()
    until_s = time.process_time() + 0.05
    while time.process_time() < until_s:
        pass
    after = counters.read()
    assert after.process_s - before.process_s >= 0.05
    assert after.machine_s >= before.machine_s
    assert after.memory_bytes > 2**20
    assert after.gpu_s == 0.0
    assert set(counters.sources) == {"processor", "gpu", "energy"}
