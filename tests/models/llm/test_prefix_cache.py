"""The mirror of the native cache against a plain model of it."""

from hypothesis import given
from hypothesis import strategies as st

from models.llm.prefix_cache import PrefixCache, common_prefix

SEQUENCES = 3
moves = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2), st.lists(st.integers(0, 3), max_size=4)),
        st.tuples(st.just("truncate"), st.integers(0, 2), st.integers(0, 8)),
        st.tuples(st.just("cut"), st.integers(0, 2), st.integers(0, 8), st.integers(0, 8)),
        st.tuples(st.just("copy"), st.integers(0, 2), st.integers(0, 2), st.integers(0, 8)),
    ),
    max_size=30,
)


def test_common_prefix() -> None:
    assert common_prefix([], [1]) == 0
    assert common_prefix([1, 2, 3], [1, 2]) == 2
    assert common_prefix([1, 2, 3], [1, 9, 3]) == 1


@given(moves)
def test_shared_cells_are_counted_once(made: list[tuple]) -> None:
    cache = PrefixCache(SEQUENCES, capacity=1000)
    model: list[list[tuple[int, object]]] = [[] for _ in range(SEQUENCES)]
    for move in made:
        match move:
            case ("append", sequence, tokens):
                cache.append(sequence, tokens)
                model[sequence] += [(token, object()) for token in tokens]
            case ("truncate", sequence, length):
                assert cache.truncate(sequence, length) == min(length, len(model[sequence]))
                del model[sequence][length:]
            case ("cut", sequence, start, length) if start + length <= len(model[sequence]):
                others = {id(c) for s in range(SEQUENCES) if s != sequence for _, c in model[s]}
                alone = others.isdisjoint(id(c) for _, c in model[sequence][start + length :])
                assert cache.cut_out(sequence, start, start + length) == alone
                if alone:
                    del model[sequence][start : start + length]
            case ("copy", source, target, length) if source != target:
                model[target] = model[source][:length]
                assert cache.copy(source, target, length) == len(model[target])
    held = {id(cell) for sequence in model for _, cell in sequence}
    assert cache.free == 1000 - len(held)
    for sequence in range(SEQUENCES):
        assert cache.tokens(sequence) == [token for token, _ in model[sequence]]
        elsewhere = {
            id(cell) for other in range(SEQUENCES) if other != sequence for _, cell in model[other]
        }
        own = {id(cell) for _, cell in model[sequence]}
        assert cache.exclusive(sequence) == len(own - elsewhere)


def test_best_donor_has_most_of_the_prompt() -> None:
    cache = PrefixCache(3, capacity=100)
    cache.append(0, [1, 2, 3, 9])
    cache.append(1, [1, 2, 3, 4])
    cache.append(2, [1, 2])
    assert cache.best_donor([1, 2, 3, 4, 5], but=2) == (1, 4)
    assert cache.best_donor([1, 2, 3, 4, 5], but=1) == (0, 3)


def test_a_gap_is_what_must_go_so_that_the_rest_matches() -> None:
    cache = PrefixCache(2, capacity=100)
    cache.append(0, [1, 2, 7, 8, 3, 4, 5, 3, 4, 6])
    assert cache.gap(0, [1, 2, 3, 4, 6, 9]) == (2, 7, 5)
    assert cache.gap(0, [1, 2, 3, 4, 5, 3, 4, 6]) == (2, 4, 8)
    assert cache.gap(0, [1, 2, 9]) == (2, 2, 2)
    assert cache.gap(0, [1, 2]) == (2, 2, 2)
    assert cache.gap(1, [1]) == (0, 0, 0)
