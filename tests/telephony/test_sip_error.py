"""Where the telephone door opens at all."""

import pytest

from telephony.sip_error import SipError, refuse_other_systems


def test_it_opens_on_linux_alone_and_says_what_to_do_elsewhere() -> None:
    refuse_other_systems("linux")
    with pytest.raises(SipError, match="enabled = false"):
        refuse_other_systems("darwin")
