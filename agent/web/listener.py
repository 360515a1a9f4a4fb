"""The box's listening socket, taken before anything slow is loaded."""

import socket


class PortInUse(Exception):
    """Another process listens where the box was told to; the message says what to do."""


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises PortInUse naming the address and the remedy."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortInUse(
            f"cannot listen on {host}:{port}: {error.strerror}; stop what uses it, or choose "
            "another `port` in [server] (OFFHOOK_SERVER__PORT=0 takes any free one)"
        ) from error
    return listener
