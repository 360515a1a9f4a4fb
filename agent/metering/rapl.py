"""Joules of the processors' packages, where Linux shows them (powercap, Intel's and AMD's RAPL).

Since Linux 5.10 the files are root's alone, because of what the draw tells of others' secrets
(CVE-2020-8694): `chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj` lets the box read them.
"""

from dataclasses import dataclass, field
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
MICRO = 1e-6


@dataclass(slots=True)
class Package:
    """One package's counter, which begins anew at its range."""

    folder: Path
    range_j: float
    _before_j: float = 0.0
    _total_j: float = 0.0

    @classmethod
    def open(cls, folder: Path) -> "Package":
        """Raises OSError or ValueError where it cannot be read."""
        range_j = int((folder / "max_energy_range_uj").read_text()) * MICRO
        package = cls(folder, range_j)
        package._before_j = package._counter_j()
        return package

    def joules(self) -> float:
        """Since it was opened; read it more than once a range, a matter of minutes.

        Raises OSError or ValueError.
        """
        now_j = self._counter_j()
        grown_j = now_j - self._before_j
        self._total_j += grown_j if grown_j >= 0 else grown_j + self.range_j
        self._before_j = now_j
        return self._total_j

    def _counter_j(self) -> float:
        return int((self.folder / "energy_uj").read_text()) * MICRO


@dataclass(slots=True)
class Rapl:
    """All packages of the machine."""

    packages: list[Package] = field(default_factory=list)

    @classmethod
    def find(cls, root: Path = POWERCAP) -> "Rapl | None":
        """None where the machine shows no package, or not to this user."""
        packages = []
        for folder in sorted(root.glob("*-rapl:*")):
            try:
                # Cores, memory and graphics lie within their package, or beside it as "psys".
                if (folder / "name").read_text().startswith("package"):
                    packages.append(Package.open(folder))
            except (OSError, ValueError):
                return None
        return cls(packages) if packages else None

    def joules(self) -> float:
        """Since it was found. Raises OSError or ValueError."""
        return sum(package.joules() for package in self.packages)
