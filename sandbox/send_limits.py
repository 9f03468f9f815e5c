"""How much an unattended command may send once text from outside, or a private file, is in the conversation.

The content of TLS connections is not known to the proxy, so the number of bytes decides. Installing packages and
loading models sends little: about 40 kB for transformers with everything it needs.
"""

import fcntl
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ml_intern.configs.hosts import hub_url
from ml_intern.configs.providers import HUB, SERVICES

HOST_BYTES = 256_000
"""Bytes that one command may send to one host."""
HUB_BYTES = 1_000_000
"""The same for the Hub, which gets several requests per file."""
THREAD_BYTES = 4_000_000
"""Bytes that the commands of one thread may send to all hosts."""
_METHODS = frozenset({b"GET", b"HEAD", b"CONNECT"})
_DIGITS = 20


@dataclass(frozen=True)
class SendLimits:
    """Limits on what a command sends."""

    because: str
    """Why there are limits, as the end of a sentence."""
    named: frozenset[str] = frozenset()
    """Hosts that the user named. They may receive uploads, within the limits on bytes."""
    unlimited: frozenset[str] = frozenset()
    """Hosts, and the domains below them, for which the command was given a key."""
    count: str = ""
    """The file that counts the bytes sent in the thread, shared by its commands; "" counts this command only."""

    def refusal(self, method: bytes, host: str) -> str:
        """Return why a request is refused before anything is sent; "" if it is not."""
        if host.lower() in self.named or self.is_unlimited(host):
            return ""
        if any(label.startswith("upload") for label in host.lower().split(".")):
            return f"{host} receives uploads, and the user did not name it, {self.because}"
        if method not in _METHODS:
            return f"{method.decode()} to {host} is not allowed {self.because}"
        return ""

    def exceeded(self, host: str, size: int) -> str:
        """Return why sending more to a host is refused after `size` bytes; "" if it is not."""
        limit = HUB_BYTES if _is_below(host, HUB.hosts) else HOST_BYTES
        return f"more than {limit // 1000} kB to {host} is not allowed {self.because}" if size > limit else ""

    def exhausted(self, size: int) -> str:
        """Return why a thread may not send any more after `size` bytes; "" if it may."""
        limit = f"more than {THREAD_BYTES // 1_000_000} MB in a thread is not allowed {self.because}"
        return limit if size > THREAD_BYTES else ""

    def is_unlimited(self, host: str) -> bool:
        """Return whether any amount may be sent to a host."""
        return _is_below(host, self.unlimited)


def hosts_of_keys(names: Iterable[str], added: Iterable[str]) -> frozenset[str]:
    """Return the hosts of the services that keys belong to, and for other keys the hosts that the user `added`."""
    found = set[str]()
    for name in names:
        service = next((one for one in SERVICES if name in one.key_envs + one.other_envs), None)
        found |= set(service.hosts if service else added)
        if service is HUB:
            found.add(urlsplit(hub_url()).hostname or "")
    return frozenset(host.lower().lstrip(".") for host in found)


def _is_below(host: str, domains: Iterable[str]) -> bool:
    return any(host.lower() == name or host.lower().endswith(f".{name}") for name in domains)


@dataclass
class SentBytes:
    """The bytes that one command sent, by host, and the requests that were cut."""

    hosts: Counter[str] = field(default_factory=Counter[str])
    cut: list[str] = field(default_factory=list[str])
    """Why connections were refused or closed."""

    def add(self, host: str, size: int, limits: SendLimits | None) -> bool:
        """Count bytes that are about to be sent. Return False, and record why, if they must not be."""
        if limits is None or limits.is_unlimited(host):
            return True
        self.hosts[host] += size
        return not self.refuse(limits.exceeded(host, self.hosts[host]) or self._exhausted(size, limits))

    def _exhausted(self, size: int, limits: SendLimits) -> str:
        try:
            return limits.exhausted(add_to_count(limits.count, size) if limits.count else self.hosts.total())
        except (OSError, ValueError) as error:
            return f"the bytes that this thread sent cannot be counted: {error}"

    def refuse(self, problem: str) -> bool:
        """Record a problem, if there is one, and return whether there is."""
        if problem:
            self.cut.append(problem)
        return bool(problem)


def add_to_count(path: str, size: int) -> int:
    """Add to the number in a file and return the sum. Several processes may do so at once. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        total = int(os.pread(descriptor, _DIGITS, 0) or b"0") + size
        os.pwrite(descriptor, b"%0*d" % (_DIGITS, total), 0)
        return total
    finally:
        os.close(descriptor)
