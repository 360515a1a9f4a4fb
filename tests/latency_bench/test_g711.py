"""G.711 against libsndfile's, which is another's."""

import io

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from latency_bench.sip.g711 import decode, decode_a_law, encode, encode_a_law

LAWS = {"ULAW": (decode, encode), "ALAW": (decode_a_law, encode_a_law)}


def _theirs(codes: bytes, law: str) -> NDArray[np.int16]:
    pcm, _ = soundfile.read(
        io.BytesIO(codes), samplerate=8000, channels=1, format="RAW", subtype=law, dtype="int16"
    )
    return np.asarray(pcm, np.int16)


@pytest.mark.parametrize("law", LAWS)
def test_every_code_decodes_as_libsndfile_decodes_it(law: str) -> None:
    codes = bytes(range(256))
    assert np.array_equal(LAWS[law][0](codes), _theirs(codes, law))


@pytest.mark.parametrize("law", LAWS)
def test_a_sample_comes_back_within_its_step(law: str) -> None:
    read, write = LAWS[law]
    pcm = np.arange(-32768, 32768, 7).astype(np.int16)
    back = read(write(pcm)).astype(np.int32)
    step = np.maximum(8, np.abs(pcm.astype(np.int32)) // 16)
    loud = np.abs(pcm.astype(np.int32)) > 32635
    assert np.all((np.abs(back - pcm) <= step) | loud)


def test_mu_law_codes_survive_a_round_trip() -> None:
    codes = bytes(code for code in range(256) if code != 0x7F)  # minus zero becomes zero
    assert encode(decode(codes)) == codes


def test_a_law_codes_survive_a_round_trip() -> None:
    codes = bytes(range(256))
    assert encode_a_law(decode_a_law(codes)) == codes
