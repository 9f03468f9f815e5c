"""Run inside the sandbox's network before the command: open the listeners, hand them to the host, become the command.

The host passes this file's text to `python -I -S -c`, so it uses nothing but the standard library. Arguments: the
descriptor of the channel, the ports with commas, and the command.
"""

import os
import socket
import sys


def main() -> None:
    """Listen on every port of the loopback inside, send the sockets through the channel, and exec the command."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    listeners = [socket.create_server(("127.0.0.1", int(port)), backlog=128) for port in sys.argv[2].split(",")]
    socket.send_fds(channel, [b"listening"], [listener.fileno() for listener in listeners])
    channel.close()
    for listener in listeners:
        listener.close()
    try:
        os.execvp(sys.argv[3], sys.argv[3:])  # noqa: S606  becoming the command is the point
    except OSError as error:
        sys.exit(f"{sys.argv[3]}: {error.strerror}")


if __name__ == "__main__":
    main()
