"""G.711 mu-law and A-law, as numpy tables (ITU-T G.711, 1988)."""

import numpy as np
from numpy.typing import NDArray

PCMU = 0
"""Its RTP payload type (RFC 3551); A-law's is the next."""
PCMA = 8
_BIAS = 33
_CLIP = 8158


def _mu_law_decoded() -> NDArray[np.int16]:
    code = ~np.arange(256, dtype=np.uint8)
    sign, exponent, mantissa = code >> 7, (code >> 4) & 7, (code & 15).astype(np.int32)
    magnitude = ((2 * mantissa + _BIAS) << exponent.astype(np.int32)) - _BIAS
    # 14-bit values, in 16 bits.
    return (np.where(sign, -magnitude, magnitude) * 4).astype(np.int16)


def _mu_law_encoded() -> NDArray[np.uint8]:
    """The code of each PCM16 value, at its place as an unsigned number."""
    pcm = np.arange(65536, dtype=np.uint16).view(np.int16)
    magnitude = np.minimum(np.abs(pcm.astype(np.int32)) // 4, _CLIP) + _BIAS
    exponent = np.maximum(np.floor(np.log2(magnitude)).astype(np.int32) - 5, 0)
    mantissa = (magnitude >> (exponent + 1)) & 15
    code = (np.where(pcm < 0, 0x80, 0) | (exponent << 4) | mantissa).astype(np.uint8)
    codes: NDArray[np.uint8] = ~code
    return codes


def _a_law_decoded() -> NDArray[np.int16]:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    linear = 2 * mantissa + 1
    magnitude = np.where(exponent, (linear + 32) << np.maximum(exponent - 1, 0), linear)
    # 13-bit values, in 16 bits; the sign bit set is positive.
    return (np.where(code & 0x80, magnitude, -magnitude) * 8).astype(np.int16)


def _a_law_encoded() -> NDArray[np.uint8]:
    pcm = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    # 12 bits; of a negative value, those of its complement.
    magnitude = np.where(pcm < 0, ~pcm, pcm) >> 3
    exponent = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 4, 0)
    # The two lowest segments have one step.
    mantissa = (magnitude >> np.maximum(exponent, 1)) & 15
    code = np.where(pcm < 0, 0, 0x80) | (exponent << 4) | mantissa
    codes: NDArray[np.uint8] = (code ^ 0x55).astype(np.uint8)
    return codes


_MU_DECODED, _MU_ENCODED = _mu_law_decoded(), _mu_law_encoded()
_A_DECODED, _A_ENCODED = _a_law_decoded(), _a_law_encoded()


def decode(payload: bytes) -> NDArray[np.int16]:
    """PCM16 of mu-law bytes, one sample each."""
    return _MU_DECODED[np.frombuffer(payload, np.uint8)]


def encode(pcm: NDArray[np.int16]) -> bytes:
    """Mu-law bytes of PCM16, one each."""
    return _MU_ENCODED[pcm.view(np.uint16)].tobytes()


def decode_a_law(payload: bytes) -> NDArray[np.int16]:
    """PCM16 of A-law bytes, one sample each."""
    return _A_DECODED[np.frombuffer(payload, np.uint8)]


def encode_a_law(pcm: NDArray[np.int16]) -> bytes:
    """A-law bytes of PCM16, one each."""
    return _A_ENCODED[pcm.view(np.uint16)].tobytes()
