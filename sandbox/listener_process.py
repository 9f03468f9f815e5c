"""Run as a separate process: open listening sockets in a sandbox's network namespace and pass them to the host.

A process with several threads cannot enter a user namespace, and a process cannot leave one. So this process has one
thread and forks for every request. The host passes this file's text to `python -I -S -c`, so it uses only the standard
library. Its argument is the descriptor of the channel. A request is the id of a process in the sandbox and the ports,
separated by spaces; the answer is one message with the sockets or with an error.
"""

import fcntl
import os
import socket
import sys

if sys.version_info < (3, 12):
    import ctypes

_NS_GET_USERNS = 0xB701
_IP_FREEBIND = 15


def main() -> None:
    """Answer requests until the host closes the channel."""
    os.setsid()
    channel = socket.socket(fileno=int(sys.argv[1]))
    while request := channel.recv(4096):
        worker = os.fork()
        if worker == 0:
            _answer(channel, *map(int, request.split()))
            os._exit(0)
        os.waitpid(worker, 0)


def _answer(channel: socket.socket, process: int, *ports: int) -> None:
    try:
        _enter_network(process)
        listeners = [_listener(port) for port in ports]
        socket.send_fds(channel, [b"listening"], [listener.fileno() for listener in listeners])
    except Exception as error:  # noqa: BLE001  the host needs an answer in any case
        channel.send(f"{type(error).__name__}: {error}".encode()[:1000])


def _enter_network(process: int) -> None:
    network = os.open(f"/proc/{process}/ns/net", os.O_RDONLY)
    owner = fcntl.ioctl(network, _NS_GET_USERNS)
    for namespace in (owner, network):
        _setns(namespace)


def _setns(namespace: int) -> None:
    if sys.version_info >= (3, 12):
        os.setns(namespace)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, 0) < 0:
        raise OSError(ctypes.get_errno(), "setns")


def _listener(port: int) -> socket.socket:
    """Open a listening socket. IP_FREEBIND allows it before the loopback interface is up."""
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


if __name__ == "__main__":
    main()
