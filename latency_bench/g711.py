"""G.711 mu-law, as numpy tables (ITU-T G.711, 1988)."""

import numpy as np
from numpy.typing import NDArray

PCMU = 0
"""Its RTP payload type (RFC 3551)."""
_BIAS = 33
_CLIP = 8158


def _decode_table() -> NDArray[np.int16]:
    code = ~np.arange(256, dtype=np.uint8)
    sign, exponent, mantissa = code >> 7, (code >> 4) & 7, (code & 15).astype(np.int32)
    magnitude = ((2 * mantissa + _BIAS) << exponent.astype(np.int32)) - _BIAS
    # 14-bit values, in 16 bits.
    return (np.where(sign, -magnitude, magnitude) * 4).astype(np.int16)


_DECODED = _decode_table()


def decode(payload: bytes) -> NDArray[np.int16]:
    """PCM16 of mu-law bytes, one sample each."""
    return _DECODED[np.frombuffer(payload, np.uint8)]


def encode(pcm: NDArray[np.int16]) -> bytes:
    """Mu-law bytes of PCM16, one each."""
    magnitude = np.minimum(np.abs(pcm.astype(np.int32)) // 4, _CLIP) + _BIAS
    exponent = np.maximum(np.floor(np.log2(magnitude)).astype(np.int32) - 5, 0)
    mantissa = (magnitude >> (exponent + 1)) & 15
    code = (np.where(pcm < 0, 0x80, 0) | (exponent << 4) | mantissa).astype(np.uint8)
    return bytes((~code).astype(np.uint8))
