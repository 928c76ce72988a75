"""Taking a port before anything else is done, so that one that is taken already is told at once, in one line."""

from __future__ import annotations

import socket

from dbx.pixels.errors import ArgumentError


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket, which processes that this one starts inherit; 0 takes any free port.

    Raises
    ------
    ArgumentError
        If the port cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ArgumentError(
            f"port {port}", f"cannot be listened on: {error.strerror}", "Choose another: --port 0 takes a free one."
        ) from error
    listener.set_inheritable(True)
    return listener


def is_free(port: int) -> bool:
    """Tell whether a port of loopback can be listened on."""
    try:
        listen("127.0.0.1", port).close()
    except ArgumentError:
        return False
    return True
