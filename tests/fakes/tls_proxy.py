"""A proxy that takes CONNECT for any host, shows a certificate of its own authority, and leads to a loopback server.

For libraries whose hosts are constants: HTTPS_PROXY names the proxy, SSL_CERT_FILE the authority.
"""

import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import trustme


class TlsProxy:
    """Use as a context manager. `hosts` are those that clients asked for, in order."""

    def __init__(self, target: str, folder: Path) -> None:
        """`target` is the host:port that every connection ends at; the authority's file goes to `folder`."""
        host, _, port = target.partition(":")
        self._target = (host, int(port))
        self._authority = trustme.CA()
        self.hosts: list[str] = []
        self.certificate = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.certificate))
        self._listener = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            host = head.split()[1].decode().rpartition(":")[0]
            self.hosts.append(host)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._authority.issue_cert(host).configure_cert(context)
            with context.wrap_socket(client, server_side=True) as inner, socket.create_connection(self._target) as far:
                back = threading.Thread(target=_copy, args=(far, inner), daemon=True)
                back.start()
                _copy(inner, far)
                back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
