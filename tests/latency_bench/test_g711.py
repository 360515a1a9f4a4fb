"""G.711 against libsndfile's, which is another's."""

import io

import numpy as np
import soundfile

from latency_bench.g711 import decode, encode


def _raw(pcm: np.ndarray, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, 8000, format="RAW", subtype=subtype)
    return file.getvalue()


def test_every_code_decodes_as_libsndfile_decodes_it() -> None:
    codes = bytes(range(256))
    theirs, _ = soundfile.read(
        io.BytesIO(codes), samplerate=8000, channels=1, format="RAW", subtype="ULAW", dtype="int16"
    )
    assert np.array_equal(decode(codes), theirs)


def test_a_sample_comes_back_within_its_step() -> None:
    pcm = np.arange(-32768, 32768, 7).astype(np.int16)
    back = decode(encode(pcm)).astype(np.int32)
    step = np.maximum(8, np.abs(pcm.astype(np.int32)) // 16)
    loud = np.abs(pcm.astype(np.int32)) > 32635
    assert np.all((np.abs(back - pcm) <= step) | loud)


def test_codes_survive_a_round_trip() -> None:
    codes = bytes(code for code in range(256) if code != 0x7F)  # minus zero becomes zero
    assert encode(decode(codes)) == codes
