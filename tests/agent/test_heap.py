"""What a running box keeps the collector off."""

import gc

from agent.heap import settled_heap


class Knot:
    """Refers to itself: only the collector frees it."""

    freed = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        Knot.freed += 1


def test_what_was_there_is_left_alone_and_garbage_since_is_freed() -> None:
    held = [Knot() for _ in range(10)]
    with settled_heap():
        assert not any(each is held for each in gc.get_objects())
        assert gc.get_freeze_count() > len(held)
        freed = Knot.freed
        Knot()
        gc.collect()
        assert Knot.freed == freed + 1
    assert any(each is held for each in gc.get_objects())
    freed = Knot.freed
    held.clear()
    gc.collect()
    assert Knot.freed == freed + 10
