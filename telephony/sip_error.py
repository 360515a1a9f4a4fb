"""Why the SIP door stays shut; apart from the stack, which takes a moment to import."""


class SipError(Exception):
    """The SIP door cannot be opened; the message says why and what to do."""
