"""How the engines share the cores."""

import pytest

from agent.config import ModelsConfig
from agent.threads import Wanted, cores_here, share

AUTO: dict[str, Wanted] = {"stt": "auto", "llm": "auto", "tts": "auto"}


def test_two_cores_give_each_engine_one_thread_and_run_two_jobs() -> None:
    shared = share(AUTO, 2)
    assert (shared.stt, shared.llm, shared.tts, shared.workers) == (1, 1, 1, 2)
    assert "2 cores" in shared.why and "chosen for them" in shared.why


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 8, 16, 32, 64, 128, 256])
def test_jobs_at_once_never_need_more_cores_than_there_are(cores: int) -> None:
    shared = share(AUTO, cores)
    assert 2 <= shared.workers <= 16
    if cores >= 4:
        assert shared.llm + shared.workers * max(shared.stt, shared.tts) <= cores


def test_more_cores_never_mean_fewer_threads() -> None:
    shares = [share(AUTO, cores) for cores in range(1, 129)]
    for fewer, more in zip(shares, shares[1:], strict=False):
        assert more.llm >= fewer.llm and more.stt >= fewer.stt


def test_what_the_settings_pin_holds_and_is_said() -> None:
    shared = share({**AUTO, "llm": 6}, 8)
    assert shared.llm == 6 and shared.stt == 2
    assert "`llm_threads` set in [models]" in shared.why


def test_the_settings_use_this_machines_cores() -> None:
    assert ModelsConfig().threads == share(AUTO, cores_here())
    assert ModelsConfig(llm_threads=3).threads.llm == 3
