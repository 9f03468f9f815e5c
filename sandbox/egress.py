"""The egress proxy for network `list`: it runs on the host and connects only to allowed hosts.

Its listening sockets are in the sandbox's network namespace (sandbox/listeners.py).
"""

import asyncio
import base64
import contextlib
import json
import re
import select
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote, urlsplit

from ml_intern.sandbox.listeners import open_listeners, start_listener_process
from ml_intern.sandbox.network_hosts import AllowedHosts
from ml_intern.sandbox.send_limits import SentBytes

PROXY_PORT = 3128
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Counter = Callable[[int], bool]
"""Counts bytes that are about to be sent, and returns whether they may be."""
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_HEAD_BYTES = 65_536
_HEAD_SECONDS = 30
_CONNECT_SECONDS = 30
_CHUNK = 262_144
_REQUEST = re.compile(rb"([A-Z]+) (?:http://)?(\[[0-9a-fA-F:.]+\]|[^\s/:@]+)(?::([0-9]{1,5}))?(/\S*)? HTTP/1\.[01]\r\n")


@dataclass(frozen=True)
class UpstreamProxy:
    """The proxy that this machine has to use."""

    host: str
    port: int
    authorization: str = ""


def find_upstream_proxy(environment: Mapping[str, str]) -> UpstreamProxy | None:
    """Return the HTTPS proxy set in the environment, if any."""
    url = next((environment[name] for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY") if environment.get(name)), "")
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if not url or not parts.hostname:
        return None
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    return UpstreamProxy(parts.hostname, parts.port or 80, base64.b64encode(login.encode()).decode() if login else "")


def proxy_variables(port: int) -> dict[str, str]:
    """Return the variables that direct clients to a proxy on the loopback, except for the loopback itself."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return {
        **{form: f"http://127.0.0.1:{port}" for name in names for form in (name, name.lower())},
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1,::1"),
    }


class EgressProxy:
    """The proxy of one command. It serves in its own thread from `start` until `close`."""

    def __init__(self, hosts: AllowedHosts, upstream: UpstreamProxy | None = None) -> None:
        self.hosts, self.upstream = hosts, upstream
        self.refused: list[str] = []
        """host:port of every refused connection."""
        self.reached: list[str] = []
        """host:port of every established connection."""
        self.sent = SentBytes()
        """Bytes sent per host, and the requests that `hosts.limits` cut."""
        self.problem = ""
        """Why the proxy could not start; "" if it works."""
        self._serving: set[asyncio.Task[None] | None] = set()
        """The tasks that serve connections. Without this, one that waits may be collected as garbage."""
        self._stop: Callable[[], object] = bool
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="egress", daemon=True)
        self._info_reader, self._info_writer = socket.socketpair()
        """bubblewrap reports its child process here."""
        self._block_writer, self._block_reader = socket.socketpair()
        """bubblewrap starts the command when it can read a byte here."""

    @property
    def forwarded(self) -> tuple[int, ...]:
        """Return the ports of this machine to which connections are forwarded."""
        return tuple(port for port in self.hosts.loopback_ports if port != PROXY_PORT)

    @property
    def ports(self) -> tuple[int, ...]:
        """Return the ports to listen on in the sandbox: the proxy's, then those forwarded unchanged."""
        return (PROXY_PORT, *self.forwarded)

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """Return the descriptors that bubblewrap must inherit."""
        return (self._info_writer.fileno(), self._block_reader.fileno())

    @property
    def options(self) -> list[str]:
        """Return the bubblewrap options that delay the command until the proxy listens."""
        return ["--info-fd", str(self._info_writer.fileno()), "--block-fd", str(self._block_reader.fileno())]

    def environment(self) -> dict[str, str]:
        """Return the variables that direct clients to the proxy."""
        return proxy_variables(PROXY_PORT)

    def start(self) -> None:
        """Start waiting for the sandbox."""
        start_listener_process()
        self._thread.start()

    def close(self) -> None:
        """Close every connection and stop the thread."""
        self._ending.set()
        self._stop()
        for end in (self._info_reader, self._block_writer):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in (self._info_reader, self._info_writer, self._block_writer, self._block_reader):
            each.close()

    def _run(self) -> None:
        process = self._child_process()
        if process is None:
            return
        try:
            listeners = open_listeners(process, self.ports)
        except OSError as error:
            listeners, self.problem = [], str(error)
        with contextlib.suppress(OSError):
            self._block_writer.send(b".")
        if listeners and self._wait_for_connection(listeners):
            asyncio.run(self._serve(listeners))
        for listener in listeners:
            listener.close()

    def _wait_for_connection(self, listeners: Iterable[socket.socket]) -> bool:
        """Wait for the first connection; False if the command ends. Most commands make none and need no event loop."""
        poll = select.poll()
        for each in (*listeners, self._block_writer):
            poll.register(each, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll()]
        return self._block_writer.fileno() not in ready and not self._ending.is_set()

    def _child_process(self) -> int | None:
        """Return the id of the first sandboxed process, or None if bubblewrap has ended."""
        info = b""
        while b"}" not in info:
            if not (chunk := self._info_reader.recv(4096)):
                return None
            info += chunk
        return int(json.loads(info)["child-pid"])

    async def _serve(self, listeners: list[socket.socket]) -> None:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        self._stop = partial(loop.call_soon_threadsafe, ended.set)
        servers = [await asyncio.start_server(self._serving_each(self._proxy), sock=listeners[0], limit=_HEAD_BYTES)]
        for listener, port in zip(listeners[1:], self.forwarded, strict=True):
            servers.append(await asyncio.start_server(self._serving_each(self._forwarder(port)), sock=listener))
        if not self._ending.is_set():
            await ended.wait()
        for server in servers:
            server.close()
        await _end_connections()

    def _serving_each(self, serve: Serve) -> Serve:
        async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            self._serving.add(task)
            with contextlib.suppress(asyncio.CancelledError):  # the proxy ends
                await serve(reader, writer)
            self._serving.discard(task)

        return serve_one

    def _forwarder(self, port: int) -> Serve:
        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                remote = await _open("127.0.0.1", port)
                self.reached.append(f"127.0.0.1:{port}")
                await _relay(reader, writer, remote, self._counter("127.0.0.1"))
            except (TimeoutError, OSError):
                return
            finally:
                await _close(writer)

        return forward

    async def _proxy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_SECONDS)
            request = _REQUEST.match(head)
            if request is None:
                await _answer(writer, "400 Bad Request", "this proxy accepts only CONNECT and plain HTTP requests")
            else:
                await self._forward(request, head, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError) as error:
            await _answer(writer, "502 Bad Gateway", f"connection failed: {error}")
        finally:
            await _close(writer)

    async def _forward(
        self, request: re.Match[bytes], head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        method, host, given_port, path = request.groups()
        is_tunnel = method == b"CONNECT"
        name, port = host.decode().strip("[]"), int(given_port or (443 if is_tunnel else 80))
        limits = self.hosts.limits
        if limits and self.hosts.allows(name, port) and self.sent.refuse(problem := limits.refusal(method, name)):
            await _answer(writer, "403 Forbidden", problem)
            return
        remote = await self._connect(name, port) if port < 65536 else None
        if remote is None:
            self.refused.append(f"{name}:{port}")
            problem = f"{name}:{port} is not in the sandbox's list of allowed hosts; ask the user to add it"
            await _answer(writer, "403 Forbidden", problem)
            return
        self.reached.append(f"{name}:{port}")
        counter = self._counter(name)
        if not counter(len(head)):
            await _close(remote[1])
            return
        if is_tunnel:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            remote[1].write(_origin_form(method, path or b"/", head))
        await _relay(reader, writer, remote, counter)

    def _counter(self, host: str) -> Counter:
        return lambda size: self.sent.add(host, size, self.hosts.limits)

    async def _connect(self, host: str, port: int) -> Connection | None:
        """Connect to a host. Return None if it is not allowed."""
        if not self.hosts.allows(host, port):
            return None
        if self.upstream is not None and (host, port) not in self.hosts.endpoints:
            return await _connect_via_upstream(self.upstream, host, port)
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        allowed = [address for address in addresses if self.hosts.allows_address(host, port, address)]
        return await _open(allowed[0], port) if allowed else None


async def _end_connections() -> None:
    """Cancel what serves connections until nothing does. One just accepted gets its task while others are ending."""
    own = asyncio.current_task()
    while others := asyncio.all_tasks() - {own}:
        await asyncio.sleep(0)  # so that each has begun, since one cancelled before is logged as an error
        for task in others:
            task.cancel()


async def _open(address: str, port: int) -> Connection:
    return await asyncio.wait_for(asyncio.open_connection(address, port), _CONNECT_SECONDS)


async def _connect_via_upstream(upstream: UpstreamProxy, host: str, port: int) -> Connection:
    reader, writer = await _open(upstream.host, upstream.port)
    login = f"Proxy-Authorization: Basic {upstream.authorization}\r\n" if upstream.authorization else ""
    writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{login}\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_SECONDS)
    if b" 200" not in head.split(b"\r\n", 1)[0]:
        status = head.split(b"\r\n", 1)[0].decode(errors="replace")
        raise OSError(f"the upstream proxy answered {status}")
    return reader, writer


def _origin_form(method: bytes, path: bytes, head: bytes) -> bytes:
    """Return the request for the origin server, for one exchange and without headers meant for the proxy."""
    lines = head.rstrip(b"\r\n").split(b"\r\n")[1:]
    headers = [line for line in lines if not line.lower().startswith((b"proxy-", b"connection:", b"keep-alive:"))]
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", *headers, b"Connection: close", b"", b""])


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, remote: Connection, counter: Counter
) -> None:
    """Copy in both directions until both ends have finished, or until no more may be sent."""
    try:
        await asyncio.gather(_copy(reader, remote[1], counter), _copy(remote[0], writer))
    finally:
        await _close(remote[1])


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, counter: Counter = bool) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        while chunk := await source.read(_CHUNK):
            if not counter(len(chunk)):
                sink.transport.abort()
                return
            sink.write(chunk)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()


async def _answer(writer: asyncio.StreamWriter, status: str, text: str) -> None:
    body = f"ml-intern sandbox: {text}\n".encode()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection once everything is sent, or at once when the proxy ends: the other end may never read."""
    with contextlib.suppress(OSError):
        writer.close()
        try:
            await writer.wait_closed()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
