"""Read a command's output from a pipe in a thread that other threads can wake with signals."""

import os
import select
import threading
from typing import Final, Literal

CHUNK_BYTES: Final = 1 << 16
_SMALL_BYTES: Final = 1 << 12
_COLLECTED_MS: Final = 2
"""How long output is collected after little was read, since each wake-up costs more than a line."""
Signal = Literal["ended", "cancelled", "hurried"]


class CommandSignals:
    """Reports of other threads about a command: its process has ended, it is cancelled, it is to be killed at once."""

    def __init__(self) -> None:
        self._sent = set[Signal]()
        self._lock = threading.Lock()
        self.descriptor, self._writing = os.pipe()
        """It becomes readable with each new signal."""
        os.set_blocking(self._writing, False)  # an event loop may send, and must not be blocked
        self._closed = False

    def __contains__(self, signal: Signal) -> bool:
        return signal in self._sent

    def send(self, signal: Signal) -> None:
        """Report it, and wake the thread that waits."""
        with self._lock:
            if signal not in self._sent and not self._closed:
                self._sent.add(signal)
                os.write(self._writing, b".")

    def take(self) -> None:
        """Wait for no signal that was already sent."""
        os.read(self.descriptor, len(self._sent))

    def close(self) -> None:
        """Close the descriptors; later signals are ignored."""
        with self._lock:
            self._closed = True
            os.close(self.descriptor)
            os.close(self._writing)


class PipeReader:
    """The read end of a pipe, in which the output of a command arrives."""

    def __init__(self, descriptor: int, signals: CommandSignals) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor, self._signals = descriptor, signals
        self._few = False
        """Whether little was read last."""
        self._ready = select.poll()
        self._ready.register(descriptor, select.POLLIN)
        self._ready.register(signals.descriptor, select.POLLIN)
        self._signalled = select.poll()
        self._signalled.register(signals.descriptor, select.POLLIN)
        self._ended = False

    def wait(self, seconds: float | None) -> bool:
        """Return after `seconds`, with the next signal, or, with True, when there is something to read."""
        ready = dict(self._ready.poll(None if seconds is None else 1000 * seconds))
        if self._few and list(ready) == [self._descriptor]:
            ready |= dict(self._signalled.poll(_COLLECTED_MS))
        if self._signals.descriptor in ready:
            self._signals.take()
        return self._descriptor in ready

    def read(self) -> bytes:
        """Return the available bytes; none if there are none now, or at the end of the pipe."""
        if self._ended:
            return b""
        try:
            chunk = os.read(self._descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return b""
        self._few = len(chunk) < _SMALL_BYTES
        if not chunk:
            self.end()
        return chunk

    def end(self) -> None:
        """Read no more."""
        if not self._ended:
            self._ended = True
            self._ready.unregister(self._descriptor)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)
