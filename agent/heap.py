"""The collector of garbage, kept off what a box holds for as long as it runs."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def settled_heap() -> Iterator[None]:
    """Within it what is in memory now is taken to stay, and not gone through for garbage again.

    Modules and models are a million objects: a collection that goes through them stops all threads
    for 150 ms, in the middle of a call. Blocks that long itself.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
