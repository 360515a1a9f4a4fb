"""What each sequence of the context has evaluated, and how many cells that takes. Pure.

A mirror of the native cache: sequences may share cells (a copied prefix is not stored
twice), and a cell is free again when no sequence holds it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading entries two token lists have in common."""
    shorter = min(len(a), len(b))
    if a[:shorter] == b[:shorter]:
        return shorter
    return next((i for i in range(shorter) if a[i] != b[i]), shorter)


class PrefixCache:
    """Tokens evaluated in each of ``sequences`` sequences that share ``capacity`` cells."""

    def __init__(self, sequences: int, capacity: int) -> None:
        self.sequences = sequences
        self.capacity = capacity
        self._tokens: list[list[int]] = [[] for _ in range(sequences)]
        self._cells: list[list[int]] = [[] for _ in range(sequences)]
        self._holders: Counter[int] = Counter()
        self._fresh = count()

    @property
    def free(self) -> int:
        """Cells that no sequence holds."""
        return self.capacity - len(self._holders)

    def length(self, sequence: int) -> int:
        """Tokens evaluated in ``sequence``."""
        return len(self._tokens[sequence])

    def exclusive(self, sequence: int) -> int:
        """Cells that only ``sequence`` holds."""
        return sum(self._holders[cell] == 1 for cell in self._cells[sequence])

    def tokens(self, sequence: int) -> list[int]:
        """A copy of the tokens evaluated in ``sequence``."""
        return list(self._tokens[sequence])

    def matching(self, sequence: int, prompt: Sequence[int]) -> int:
        """How many leading tokens of ``prompt`` are evaluated in ``sequence``."""
        return common_prefix(self._tokens[sequence], prompt)

    def best_donor(self, prompt: Sequence[int], but: int) -> tuple[int, int]:
        """(sequence, matching tokens): who has most of ``prompt``'s head, other than ``but``."""
        others = (s for s in range(len(self._tokens)) if s != but)
        return max(((s, self.matching(s, prompt)) for s in others), key=lambda found: found[1])

    def gap(self, sequence: int, prompt: Sequence[int]) -> tuple[int, int, int]:
        """(start, end, length): without its tokens from ``start`` to ``end``, ``sequence``
        would begin with ``length`` tokens of ``prompt``; the longest such."""
        held, start = self._tokens[sequence], self.matching(sequence, prompt)
        best = (start, start, start)
        if start == len(prompt):
            return best
        rest = prompt[start:]
        for at in range(start + 1, len(held)):
            if held[at] == rest[0]:
                length = start + common_prefix(held[at : at + len(rest)], rest)
                best = max(best, (start, at, length), key=lambda found: found[2])
        return best

    def cut_out(self, sequence: int, start: int, end: int) -> bool:
        """Takes the tokens from ``start`` to ``end`` out of ``sequence`` and moves up what
        follows; False, and nothing done, where others hold some of what follows."""
        if any(self._holders[cell] > 1 for cell in self._cells[sequence][end:]):
            return False
        rest = self._tokens[sequence][end:], self._cells[sequence][end:]
        self._release(self._cells[sequence][start:end])
        self._tokens[sequence][start:], self._cells[sequence][start:] = rest
        return True

    def append(self, sequence: int, tokens: Iterable[int]) -> None:
        """Records that ``tokens`` were evaluated at the end of ``sequence``."""
        for token in tokens:
            cell = next(self._fresh)
            self._tokens[sequence].append(token)
            self._cells[sequence].append(cell)
            self._holders[cell] = 1

    def truncate(self, sequence: int, length: int) -> int:
        """Forgets all after the first ``length`` tokens of ``sequence``; returns what is left."""
        self._release(self._cells[sequence][length:])
        del self._tokens[sequence][length:]
        del self._cells[sequence][length:]
        return len(self._tokens[sequence])

    def copy(self, source: int, target: int, length: int) -> int:
        """Makes ``target`` hold the first ``length`` tokens of ``source``, in the same cells.

        Returns how many it holds then.
        """
        self.truncate(target, 0)
        self._tokens[target] = self._tokens[source][:length]
        self._cells[target] = self._cells[source][:length]
        self._holders.update(self._cells[target])
        return len(self._tokens[target])

    def _release(self, cells: Iterable[int]) -> None:
        for cell in cells:
            self._holders[cell] -= 1
            if not self._holders[cell]:
                del self._holders[cell]
