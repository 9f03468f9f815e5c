"""Printed text and warnings become notes of the transcript, so that only the frame writes to the terminal."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self, TextIO


class _Notes(io.TextIOBase):
    """A text stream that shows each of its lines."""

    encoding = "utf-8"

    def __init__(self, show: Callable[[str, str], None]) -> None:
        self._show = show
        self._line = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._show(line, "dim")
        return len(text)

    def flush(self) -> None:
        """Keep an unfinished line until its end."""


class Redirected:
    """Redirects stdout and stderr within a block, except in blocks of `off`."""

    def __init__(self, show: Callable[[str, str], None]) -> None:
        self._notes: TextIO = _Notes(show)  # type: ignore[assignment]
        self._before: tuple[TextIO, TextIO] = (sys.stdout, sys.stderr)

    def __enter__(self) -> Self:
        self._before = (sys.stdout, sys.stderr)
        sys.stdout = sys.stderr = self._notes
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self._before

    @contextmanager
    def off(self) -> Iterator[None]:
        """Print to the terminal within this block."""
        sys.stdout, sys.stderr = self._before
        try:
            yield
        finally:
            sys.stdout = sys.stderr = self._notes
