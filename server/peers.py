"""The user behind a loopback connection, as the kernel reports it in /proc/net."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TABLES = (("/proc/net/tcp", ""), ("/proc/net/tcp6", "0000000000000000FFFF0000"))
"""The tables of connections, each with what precedes an IPv4 address in it."""
_LOCAL, _REMOTE, _STATE, _UID = 1, 2, 3, 7
_ESTABLISHED = "01"
ROOT = 0


def is_own_peer(client: tuple[str, int] | None, server: tuple[str, int] | None) -> bool:
    """Return whether a connection comes from a process of this user or of root.

    True where the system does not say to whom a connection belongs; the token is checked as well.
    """
    if client is None or server is None or not any(Path(table).exists() for table, _ in _TABLES):
        return True
    return any(uid in {os.getuid(), ROOT} for uid in _users(client, server))


def _users(client: tuple[str, int], server: tuple[str, int]) -> Iterator[int]:
    """Yield the users who own the client's end of an established IPv4 connection."""
    local, remote = _written(client), _written(server)
    for table, prefix in _TABLES:
        with suppress(FileNotFoundError):  # without IPv6 there is no second table
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                row = line.split()
                if (row[_LOCAL], row[_REMOTE], row[_STATE]) == (prefix + local, prefix + remote, _ESTABLISHED):
                    yield int(row[_UID])


def _written(place: tuple[str, int]) -> str:
    """Return an address and port as the tables write them."""
    try:
        [number] = struct.unpack("=I", socket.inet_aton(place[0]))
    except OSError:  # not an IPv4 address, and the server listens on IPv4 only
        return ""
    return f"{number:08X}:{place[1]:04X}"
