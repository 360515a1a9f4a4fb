"""Why the SIP door stays shut; apart from the stack, which takes a moment to import."""


class SipError(Exception):
    """The SIP door cannot be opened; the message says why and what to do."""


def refuse_other_systems(platform: str) -> None:
    """Raises SipError off Linux, whose library's memory the door reads (`telephony.sip_gate`)."""
    if platform != "linux":
        raise SipError(
            f"the telephone door runs on Linux, not on {platform}; set `enabled = false` in [sip], "
            "and take calls on the page or over a carrier's stream (docs/carriers.md)"
        )
