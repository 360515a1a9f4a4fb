"""Encrypted RTP with keys from the session description (RFC 3711, RFC 4568)."""

import secrets

from pylibsrtp import Error, Policy, Session

from latency_bench.sip.sdp import KEY_BYTES


def fresh_key() -> bytes:
    """A master key and its salt."""
    return secrets.token_bytes(KEY_BYTES)


class Srtp:
    """Both directions of one call: AES-128 in counter mode with an 80-bit tag."""

    def __init__(self, own_key: bytes, their_key: bytes) -> None:
        profile = Policy.SRTP_PROFILE_AES128_CM_SHA1_80
        self._outbound = Session(Policy(own_key, Policy.SSRC_ANY_OUTBOUND, 0, profile))
        self._inbound = Session(Policy(their_key, Policy.SSRC_ANY_INBOUND, 0, profile))

    def protect(self, packet: bytes) -> bytes:
        """The packet as it is sent."""
        return self._outbound.protect(packet)

    def unprotect(self, packet: bytes) -> bytes | None:
        """The packet in the clear; None where it was not made with the far end's key."""
        try:
            return self._inbound.unprotect(packet)
        except (Error, ValueError):
            return None
