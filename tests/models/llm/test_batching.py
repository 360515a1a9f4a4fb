"""Whose tokens go into a step: fairness, what is never evaluated twice, and scarce cells."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from models.llm.batching import (
    BEGINNING_TOKENS,
    GUESS_TOKENS,
    PATIENCE_STEPS,
    SHARED_HEAD,
    Batcher,
    Job,
    Share,
    Slices,
)
from models.llm.prefix_cache import PrefixCache

SLICES = Slices(alone=8, beside_answers=4, background=2)
HEAD = [900, 901, 902]


class Model:
    """Runs steps as the engine does: each answer wants ``answer`` tokens."""

    def __init__(self, sequences: int = 5, capacity: int = 1000) -> None:
        self.cache = PrefixCache(sequences, capacity)
        self.batcher = Batcher(self.cache, SLICES)
        self.arrivals = 0
        self.evaluated: list[tuple[int, int, int]] = []
        self.finished: list[Job] = []

    def add(
        self, sequence: int, prompt: Sequence[int], answers: bool = True, head: Sequence[int] = ()
    ) -> Job:
        self.arrivals += 1
        job = Job(sequence, list(prompt), self.arrivals, answers, head)
        self.batcher.add(job)
        return job

    def step(self, answer: int = 3) -> list[Share]:
        shares = self.batcher.plan()
        new = sum(len(share.tokens) for share in shares)
        assert new <= self.cache.free
        for share in shares:
            assert share.position == self.cache.length(share.sequence)
            for sequence, position, token, _ in share.rows():
                self.evaluated.append((sequence, position, token))
        self.batcher.done(shares)
        for share in shares:
            if share.wants_next:
                job = share.job
                assert self.cache.tokens(job.sequence) == job.tokens
                if job.generated == answer:
                    self.batcher.remove(job)
                    self.finished.append(job)
                else:
                    job.tokens.append(5000 + job.generated)
        return shares

    def run(self, answer: int = 3, limit: int = 2000) -> None:
        for _ in range(limit):
            if not self.batcher.jobs:
                return
            done = self.step(answer)
            assert done or not self.batcher.jobs, "work is left and nothing can be done"
        raise AssertionError("the work does not end")


def taken(shares: Sequence[Share]) -> dict[int, int]:
    return {share.sequence: len(share.tokens) for share in shares}


def test_a_prompt_alone_takes_large_slices_and_only_its_last_row_has_output() -> None:
    model = Model()
    model.add(1, range(20))
    steps = [model.step() for _ in range(3)]
    assert [taken(s) for s in steps] == [{1: 8}, {1: 8}, {1: 4}]
    outputs = [row[3] for s in steps for share in s for row in share.rows()]
    assert outputs == [False] * 19 + [True]


def test_answers_advance_in_each_step_while_a_long_prompt_waits_its_turn() -> None:
    model = Model()
    model.add(1, range(4))
    model.add(2, range(100, 104))
    model.step()
    model.add(3, range(200, 230))
    assert taken(model.step(answer=9)) == {1: 1, 2: 1, 3: 4}
    assert taken(model.step(answer=9)) == {1: 1, 2: 1, 3: 4}


def test_the_earliest_prompt_goes_first_and_the_next_gets_what_is_left() -> None:
    model = Model()
    model.add(1, range(10))
    model.add(2, range(100, 110))
    assert [taken(model.step()) for _ in range(2)] == [{1: 8}, {1: 2, 2: 6}]


def test_a_prepared_prompt_waits_for_all_answers_prompts() -> None:
    model = Model()
    prepared = model.add(1, range(10), answers=False)
    model.add(2, range(100, 110))
    assert [taken(model.step()) for _ in range(5)] == [{2: 8}, {2: 2}, {2: 1}, {2: 1}, {2: 1}]
    assert taken(model.step()) == {1: 8}
    model.run()
    assert prepared.generated == 0
    assert model.cache.tokens(1) == list(range(10))


def test_the_next_turn_evaluates_only_what_is_new() -> None:
    model = Model()
    first = model.add(1, range(10))
    model.run()
    model.evaluated.clear()
    second = model.add(1, [*first.tokens, 77, 78])
    model.run(answer=0)
    assert [token for *_, token in model.evaluated] == [77, 78]
    assert second.cached_tokens == len(first.tokens)


def test_a_tail_that_differs_is_cut() -> None:
    model = Model()
    model.add(1, range(10))
    model.run()
    job = model.add(1, [0, 1, 2, 50, 51])
    model.run(answer=0)
    assert job.cached_tokens == 3
    assert model.cache.tokens(1) == [0, 1, 2, 50, 51]


def test_the_same_prompt_again_evaluates_its_last_token_for_its_output() -> None:
    model = Model()
    model.add(1, range(10))
    model.run(answer=0)
    job = model.add(1, range(10))
    assert taken(model.step()) == {1: 1}
    assert job.cached_tokens == 9


def test_a_head_is_evaluated_once_for_all_who_arrive_together() -> None:
    model = Model()
    jobs = [model.add(s, [*HEAD, 10 * s, 10 * s + 1], head=HEAD) for s in (1, 2, 3)]
    model.run()
    for token in HEAD:
        assert [e[0] for e in model.evaluated if e[2] == token] == [SHARED_HEAD]
    assert [job.cached_tokens for job in jobs] == [0, 3, 3]


def test_a_head_outlives_its_conversations() -> None:
    model = Model()
    model.add(1, [*HEAD, 1], head=HEAD)
    model.run()
    model.cache.truncate(1, 0)
    later = model.add(2, [*HEAD, 2], head=HEAD)
    model.run()
    assert later.cached_tokens == len(HEAD)


def test_another_head_takes_the_place_and_the_first_is_taken_back_from_who_has_it() -> None:
    model = Model()
    other = [800, 801]
    for sequence, head in ((1, HEAD), (2, other)):
        model.add(sequence, [*head, sequence], head=head)
        model.run()
    model.evaluated.clear()
    third = model.add(3, [*HEAD, 3], head=HEAD)
    model.run(answer=0)
    assert third.cached_tokens == len(HEAD)
    assert [token for *_, token in model.evaluated] == [3]


def test_two_heads_at_the_same_time_both_come_through() -> None:
    model = Model()
    for sequence in (1, 2, 3, 4):
        head = [*range(700 + sequence % 2 * 50, 720 + sequence % 2 * 50)]
        model.add(sequence, [*head, sequence], head=head)
    model.run()
    assert len(model.finished) == 4


def test_idle_conversations_lose_their_cells_longest_unused_first() -> None:
    model = Model(capacity=30)
    for sequence in (1, 2):
        model.add(sequence, range(100 * sequence, 100 * sequence + 10))
        model.run(answer=0)
    model.add(3, range(300, 315))
    model.run(answer=0)
    assert [model.cache.length(s) for s in (1, 2, 3)] == [0, 10, 15]


def test_the_youngest_answer_gives_way_and_goes_on_later() -> None:
    model = Model(capacity=20)
    first = model.add(1, range(8))
    second = model.add(2, range(100, 108))
    model.run(answer=10)
    assert model.finished == [first, second]
    assert [job.generated for job in model.finished] == [10, 10]
    assert second.cached_tokens == 0


def test_a_failed_step_forgets_what_its_sequences_held() -> None:
    model = Model()
    job = model.add(1, range(10))
    model.step()
    model.batcher.failed(model.batcher.plan())
    assert model.cache.length(1) == 0
    model.run(answer=0)
    assert model.finished == [job]


prompts = st.lists(
    st.tuples(
        st.integers(1, 4), st.integers(0, 2), st.integers(1, 20), st.booleans(), st.integers(0, 6)
    ),
    max_size=12,
)


@settings(deadline=None)
@given(prompts, st.integers(26, 80))
def test_all_work_ends_however_scarce_the_cells(
    asked: list[tuple[int, int, int, bool, int]], capacity: int
) -> None:
    model = Model(capacity=capacity)
    answering = 0
    for sequence, head, length, answers, steps in asked:
        for job in model.batcher.jobs:
            if job.sequence == sequence:
                model.batcher.remove(job)
                answering -= job.answers
        shared = [900 + head] * head
        model.add(sequence, [*shared, *range(length)], answers, shared)
        answering += answers
        for _ in range(steps):
            done = len(model.finished)
            model.step()
            answering -= len(model.finished) - done
    done = len(model.finished)
    model.run()
    assert len(model.finished) - done == answering


def test_a_guess_yields_to_whoever_hears_nothing_and_is_confirmed_into_their_rank() -> None:
    model = Model()
    guess = model.add(1, range(10))
    guess.guess = True
    assert taken(model.step()) == {1: 8}
    wanted = model.add(2, range(100, 110))
    assert [taken(model.step()) for _ in range(3)] == [{2: 8}, {2: 2}, {2: 1}]
    guess.guess = False
    assert taken(model.step()) == {1: 2, 2: 1}
    model.run()
    assert {job.generated for job in (guess, wanted)} == {3}


def test_a_prepared_prompt_yields_to_a_guess() -> None:
    model = Model()
    model.add(1, range(10), answers=False)
    model.add(2, range(100, 104)).guess = True
    assert [taken(model.step()) for _ in range(4)] == [{2: 4}, {2: 1}, {2: 1}, {2: 1}]
    assert taken(model.step()) == {1: 8}


def test_a_guess_stops_after_its_beginning_and_goes_on_once_confirmed() -> None:
    model = Model()
    guess = model.add(1, range(4))
    guess.guess = True
    while not model.batcher.waits:
        model.step(answer=100)
    assert guess.generated == GUESS_TOKENS and model.batcher.plan() == []
    guess.guess = False
    assert not model.batcher.waits
    model.run(answer=100)
    assert model.finished == [guess] and guess.generated == 100


def test_a_confirmed_guess_whose_cells_were_taken_meanwhile_evaluates_them_again() -> None:
    model = Model(capacity=44)
    guess = model.add(1, range(4))
    guess.guess = True
    while not model.batcher.waits:
        model.step(answer=40)
    model.add(2, range(100, 130))
    while len(model.batcher.jobs) > 1:
        model.step()
    assert model.cache.length(1) == 0
    guess.guess = False
    model.run(answer=40)
    assert guess.generated == 40


def test_spoken_answers_advance_seldom_while_a_caller_hears_nothing() -> None:
    model = Model()
    spoken = [model.add(s, range(10 * s, 10 * s + 2)) for s in (1, 2)]
    while min(job.generated for job in spoken) < BEGINNING_TOKENS:
        model.step(answer=1000)
    model.add(3, range(300, 332))
    steps = [taken(model.step(answer=1000)) for _ in range(12)]
    spoken_steps = [1 in step for step in steps]
    assert sum(spoken_steps) == 12 // PATIENCE_STEPS
    assert all((2 in step) == together for step, together in zip(steps, spoken_steps, strict=True))
    assert all(3 in step for step in steps)


def test_what_follows_dropped_messages_is_moved_and_not_evaluated_again() -> None:
    model = Model()
    first = model.add(1, [*HEAD, *range(100, 180)], head=HEAD)
    model.run()
    model.evaluated.clear()
    later = model.add(1, [*HEAD, *range(140, 180), *first.tokens[83:], 77], head=HEAD)
    model.run(answer=0)
    assert [token for *_, token in model.evaluated] == [77]
    assert model.cache.tokens(1) == later.tokens


def test_what_others_hold_too_is_evaluated_again() -> None:
    model = Model()
    tokens = [*HEAD, *range(100, 180)]
    for sequence in (1, 2):
        model.add(sequence, tokens, head=HEAD)
        model.run(answer=0)
    later = model.add(1, [*HEAD, *range(140, 180), 77], head=HEAD)
    model.run(answer=0)
    assert later.cached_tokens == len(HEAD)
    assert model.cache.tokens(2) == tokens
