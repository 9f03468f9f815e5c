"""Read a pipe from the event loop without blocking it, with a way to stop reading at any moment."""

import asyncio
import os

CHUNK_BYTES = 1 << 16


class PipeReader:
    """The read end of a pipe. It is closed once and not read after that."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self.stopped = False

    async def wait(self, seconds: float | None) -> None:
        """Return when there is something to read, when the pipe is stopped, or after `seconds`."""
        if self.stopped:
            return
        waiter = self._waiter = self._loop.create_future()
        self._loop.add_reader(self._descriptor, self._wake)
        try:
            await asyncio.wait({waiter}, timeout=seconds)
        finally:
            self._remove_reader()

    def read(self) -> bytes | None:
        """Return the available bytes: empty at the end of the pipe, None when nothing is available yet."""
        if self._descriptor < 0:
            return b""
        try:
            return os.read(self._descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return None

    def stop(self) -> None:
        """Wake the waiting reader and let it wait no more."""
        self.stopped = True
        self._wake()

    def close(self) -> None:
        """Close the descriptor. May be called again."""
        self.stop()
        self._remove_reader()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _remove_reader(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
