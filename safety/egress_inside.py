"""Run inside the sandbox's network before the command: open the listeners, hand them to the host, become the command.

The host passes this file's text to `python -I -S -c`, so it uses nothing but the standard library. Arguments: the
descriptor of the channel, the ports with commas, and the command.
"""

import _socket  # socket itself, with what it imports, doubles the time until the command starts
import os
import sys


def main() -> None:
    """Listen on every port of the loopback inside, send the sockets through the channel, and exec the command."""
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, int(sys.argv[1]))
    listeners = [_listener(int(port)) for port in sys.argv[2].split(",")]
    descriptors = b"".join(listener.fileno().to_bytes(4, sys.byteorder) for listener in listeners)
    channel.sendmsg([b"listening"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    for opened in (channel, *listeners):
        opened.close()
    try:
        os.execvp(sys.argv[3], sys.argv[3:])  # noqa: S606  becoming the command is the point
    except OSError as error:
        sys.exit(f"{sys.argv[3]}: {error.strerror}")


def _listener(port: int) -> _socket.socket:
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


if __name__ == "__main__":
    main()
