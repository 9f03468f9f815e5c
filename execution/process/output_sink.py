"""The sinks of a running command's output, cleaned and redacted: a file of limited size and a throttled log."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ml_intern.configs.paths import private_folder
from ml_intern.execution.output import private_opener
from ml_intern.execution.process.cleaning import StreamCleaner
from ml_intern.safety.secrets.redaction import redact

LOG_SECONDS = 0.2
LOG_CHARACTERS = 4_000
_KEY_BLOCK = "-----BEGIN "
_MAX_KEY_BLOCK = 1 << 16


class OutputFile:
    """A command's output file. Text is cleaned and redacted before it is written; memory holds one line."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        private_folder(path.parent)
        self._file: TextIO = open(  # noqa: SIM115 Path.open takes no opener; closed by close()
            path, "w", encoding="utf-8", errors="replace", opener=private_opener, newline=""
        )
        self._cleaner = StreamCleaner()
        self._key_block = ""
        self._bytes_left = max_bytes
        self.characters = 0

    @property
    def full(self) -> bool:
        """Whether the command has written as much as it may."""
        return self._bytes_left <= 0

    @property
    def unfinished(self) -> str:
        """The line being written, cleaned and redacted."""
        return redact(self._cleaner.unfinished)

    def feed(self, data: bytes) -> str:
        """Feed output and return what it added to the file. Output over the limit is dropped."""
        taken = data[: max(self._bytes_left, 0)]
        self._bytes_left -= len(data)
        added = self._write(self._cleaner.feed(taken))
        if added:
            self._file.flush()  # other processes follow the file
        return added

    def close(self) -> str:
        """Write the rest, close the file and return what was added. May be called again."""
        if self._file.closed:
            return ""
        rest, self._key_block = self._key_block + self._cleaner.finish(), ""
        with self._file:
            return self._append(rest)

    def _write(self, text: str) -> str:
        """Write text, but hold back a private key until its last line, so that redaction sees it whole."""
        text, self._key_block = self._key_block + text, ""
        begin = text.rfind(_KEY_BLOCK)
        if begin >= 0 and "-----END " not in text[begin:] and len(text) - begin < _MAX_KEY_BLOCK:
            text, self._key_block = text[:begin], text[begin:]
        return self._append(text)

    def _append(self, text: str) -> str:
        safe = redact(text) if text else ""
        self._file.write(safe)
        self.characters += len(safe)
        return safe


class OutputLog:
    """Passes output to `write`, at most once per LOG_SECONDS and at most LOG_CHARACTERS each time.

    A text that ends with CR is an unfinished line, which a later text replaces.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._pending = ""
        self._left_out = 0
        self._shown_line = ""
        self._next = time.monotonic()

    def add(self, text: str) -> None:
        """Add finished lines. Pending text is cut to its last LOG_CHARACTERS."""
        pending = self._pending + text
        self._pending = pending[-LOG_CHARACTERS:]
        self._left_out += len(pending) - len(self._pending)

    def seconds_to_wait(self) -> float | None:
        """Return the seconds until pending text may be written; None when there is none."""
        return max(self._next - time.monotonic(), 0.0) if self._pending else None

    @property
    def due(self) -> bool:
        """Whether text may be written now."""
        return time.monotonic() >= self._next

    def flush(self, unfinished: str = "") -> None:
        """Write the pending text; if there is none, the unfinished line if it changed."""
        if self._pending:
            gap = f"[... {self._left_out:,} characters ...]\n" if self._left_out else ""
            self._send(gap + self._pending)
        elif unfinished and unfinished != self._shown_line:
            self._shown_line = unfinished
            self._send(unfinished[-LOG_CHARACTERS:] + "\r")

    def _send(self, text: str) -> None:
        self._pending, self._left_out = "", 0
        self._next = time.monotonic() + LOG_SECONDS
        self._write(text)
