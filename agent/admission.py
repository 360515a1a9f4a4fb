"""Why a call is not taken."""


class BoxFull(Exception):
    """Every place is taken; the caller may try again later."""
