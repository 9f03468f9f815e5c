"""How much an unattended command may send while text from outside is in the conversation.

The content of TLS connections is not known to the proxy, so the number of bytes decides. Installing packages and
loading models sends little: about 40 kB for transformers with everything it needs.
"""

from collections import Counter
from dataclasses import dataclass, field

from ml_intern.configs.providers import HUB

HOST_BYTES = 256_000
"""Bytes that one command may send to one host."""
HUB_BYTES = 1_000_000
"""The same for the Hub, which gets several requests per file."""
THREAD_BYTES = 4_000_000
"""Bytes that the commands of one thread may send to all hosts."""
_METHODS = frozenset({b"GET", b"HEAD", b"CONNECT"})


@dataclass(frozen=True)
class SendLimits:
    """Limits on what a command sends."""

    source: str
    """Where the outside text in the conversation is from."""
    named: frozenset[str] = frozenset()
    """Hosts that the user named. They may receive uploads, within the limits on bytes."""

    def refusal(self, method: bytes, host: str) -> str:
        """Return why a request is refused before anything is sent; "" if it is not."""
        if host.lower() in self.named:
            return ""
        if any(label.startswith("upload") for label in host.lower().split(".")):
            return f"{host} receives uploads, and the user did not name it{self._because}"
        if method not in _METHODS:
            return f"{method.decode()} to {host} is not allowed{self._because}"
        return ""

    def exceeded(self, host: str, size: int) -> str:
        """Return why sending more to a host is refused after `size` bytes; "" if it is not."""
        limit = HUB_BYTES if _is_hub(host) else HOST_BYTES
        return f"more than {limit // 1000} kB to {host} is not allowed{self._because}" if size > limit else ""

    def exhausted(self, size: int) -> str:
        """Return why a thread may not send any more after `size` bytes; "" if it may."""
        return f"more than {THREAD_BYTES // 1_000_000} MB in a thread is not allowed{self._because}" * (
            size > THREAD_BYTES
        )

    @property
    def _because(self) -> str:
        return f" while text from {self.source} is in the conversation"


def _is_hub(host: str) -> bool:
    return any(host.lower() == name or host.lower().endswith(f".{name}") for name in HUB.hosts)


@dataclass
class SentBytes:
    """The bytes that one command sent, by host, and the requests that were cut."""

    earlier: int = 0
    """Bytes that earlier commands of the thread sent."""
    hosts: Counter[str] = field(default_factory=Counter[str])
    cut: list[str] = field(default_factory=list[str])
    """Why connections were refused or closed."""

    def add(self, host: str, size: int, limits: SendLimits | None) -> bool:
        """Count bytes that are about to be sent. Return False, and say why, if they must not be."""
        if limits is None:
            return True
        self.hosts[host] += size
        problem = limits.exceeded(host, self.hosts[host]) or limits.exhausted(self.earlier + self.hosts.total())
        return not self.refuse(problem)

    def refuse(self, problem: str) -> bool:
        """Record a problem, if there is one, and return whether there is."""
        if problem:
            self.cut.append(problem)
        return bool(problem)
