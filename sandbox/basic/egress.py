"""The egress proxy of a command that shares the network of the host: it listens on a free port of this machine."""

import asyncio
import socket

from ml_intern.sandbox.egress import EgressProxy, UpstreamProxy, proxy_variables
from ml_intern.sandbox.network_hosts import AllowedHosts

_LOOPBACK = "127.0.0.1"


class HostEgressProxy(EgressProxy):
    """The proxy of one command, which reaches it by its port."""

    def __init__(self, hosts: AllowedHosts, upstream: UpstreamProxy | None = None) -> None:
        super().__init__(hosts, upstream)
        self._listener = socket.create_server((_LOOPBACK, 0))

    @property
    def ports(self) -> tuple[int, ...]:
        """Return the port of the proxy."""
        return (self._listener.getsockname()[1],)

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """Return nothing: the command does not wait for the proxy."""
        return ()

    def environment(self) -> dict[str, str]:
        """Return the variables that direct clients to the proxy."""
        return proxy_variables(self.ports[0])

    def allows(self, address: str, port: int) -> bool:
        """Return whether the command may connect to an address itself: to the proxy, and to configured endpoints."""
        if address != _LOOPBACK:
            return False
        if port in self.hosts.loopback_ports:
            self.reached.append(f"{_LOOPBACK}:{port}")
            return True
        return port in self.ports

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def _run(self) -> None:
        with self._listener:
            if self._wait_for_connection([self._listener]):
                asyncio.run(self._serve([self._listener]))
