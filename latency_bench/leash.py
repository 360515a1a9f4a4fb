"""A program that ends when the process that started it does, however that ends.

``python leash.py PID PROGRAM ARGUMENT...`` asks Linux for SIGTERM at its parent's death
(prctl(2), PR_SET_PDEATHSIG), which outlasts exec, and becomes PROGRAM under the same process id.
Where there is no such call, it only becomes the program. Run as a file, it imports nothing of
the bench: it costs some 10 ms.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
PARENT_GONE = 75


def leashed(command: Sequence[str]) -> tuple[str, ...]:
    """``command`` on a leash of this process. To be started from a thread that lives on: Linux
    takes the end of the starting thread for the parent's."""
    return (sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), *command)


def main(argv: Sequence[str]) -> int:
    """Becomes the program; returns only where there is none to become, or no parent any more."""
    parent, *command = argv
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        # It may have ended before the kernel was asked.
        if os.getppid() != int(parent):
            return PARENT_GONE
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
