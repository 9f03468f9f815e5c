"""Lines from a terminal that edits them itself: the kernel echoes what is typed and hands over whole lines."""

import asyncio
import codecs
import os
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager

READ_BYTES = 65_536
CONTINUES = "\\"


class LineInput:
    """Reads lines from a file descriptor. `take` gets each line, None at Ctrl-D.

    A line that ends with a backslash continues on the next one.
    """

    def __init__(self, descriptor: int, take: Callable[[str | None], object]) -> None:
        self._descriptor = descriptor
        self._take = take
        self._decode = codecs.getincrementaldecoder("utf-8")("replace")
        self._open = ""
        self._above: list[str] = []

    def start(self) -> None:
        """Read from now on."""
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def stop(self) -> None:
        """Leave the terminal to another program."""
        asyncio.get_running_loop().remove_reader(self._descriptor)

    def forget(self) -> None:
        """Drop the lines that a backslash continues."""
        self._above.clear()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Do not echo what is typed within this block."""
        before = termios.tcgetattr(self._descriptor)
        after = [*before]
        after[3] &= ~termios.ECHO
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, after)
        try:
            yield
        finally:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, before)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except OSError:  # the terminal is gone, which also sends SIGHUP
            self.stop()
            return
        if not data and not self._open:
            self._take(None)
            return
        *lines, self._open = (self._open + self._decode.decode(data) + "\n" * (not data)).split("\n")
        for line in lines:
            self._add(line.removesuffix("\r"))

    def _add(self, line: str) -> None:
        if line.endswith(CONTINUES):
            self._above.append(line.removesuffix(CONTINUES))
            return
        text, self._above = "\n".join([*self._above, line]), []
        self._take(text)
