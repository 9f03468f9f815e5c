"""The egress proxy of a command that shares the network of the host: it listens on a free port of this machine."""

import asyncio
import contextlib
import socket

from ml_intern.sandbox.egress import EgressProxy, UpstreamProxy, proxy_variables
from ml_intern.sandbox.network_hosts import AllowedHosts

_LOOPBACK = "127.0.0.1"


class HostEgressProxy(EgressProxy):
    """The proxy of one command, which reaches it by its port."""

    def __init__(self, hosts: AllowedHosts, upstream: UpstreamProxy | None = None) -> None:
        super().__init__(hosts, upstream)
        self._listeners = [socket.create_server((_LOOPBACK, 0)) for _ in range(1 + len(hosts.loopback_ports))]
        """The proxy's, then one for each configured endpoint on this machine."""
        self._ports = tuple(listener.getsockname()[1] for listener in self._listeners)

    @property
    def forwarded(self) -> tuple[int, ...]:
        """Return the ports of the configured endpoints on this machine."""
        return self.hosts.loopback_ports

    @property
    def ports(self) -> tuple[int, ...]:
        """Return the ports that are listened on."""
        return self._ports

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """Return nothing: the command does not wait for the proxy."""
        return ()

    def environment(self) -> dict[str, str]:
        """Return the variables that direct clients to the proxy."""
        return proxy_variables(self.ports[0])

    def route(self, address: str, port: int) -> int | None:
        """Return the port to connect to instead: the proxy itself, or what forwards to a configured endpoint.

        None if the command may not connect there.
        """
        if address != _LOOPBACK:
            return None
        if port in self.forwarded:
            return self.ports[1 + self.forwarded.index(port)]
        return port if port == self.ports[0] else None

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            for listener in self._listeners:
                stack.enter_context(listener)
            if self._wait_for_connection(self._listeners):
                asyncio.run(self._serve(self._listeners))
