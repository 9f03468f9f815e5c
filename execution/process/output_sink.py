"""Where the output of a running command goes: cleaned and redacted, to a capped file and to a throttled log."""

import time
from collections.abc import Callable
from pathlib import Path

from ml_intern.configs.paths import private_folder
from ml_intern.execution.output import private_opener
from ml_intern.execution.process.cleaning import StreamCleaner
from ml_intern.safety.secrets.redaction import redact

LOG_SECONDS = 0.2
LOG_CHARACTERS = 4_000
_KEY_BLOCK = "-----BEGIN "
_MAX_KEY_BLOCK = 1 << 16


class OutputFile:
    """The file of a command's output. What enters it is clean and redacted already; memory holds one line."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        private_folder(path.parent)
        self._file = open(  # noqa: SIM115 Path.open takes no opener; closed by close()
            path, "w", encoding="utf-8", errors="replace", opener=private_opener, newline=""
        )
        self._cleaner = StreamCleaner()
        self._held = ""
        self._bytes_left = most_bytes
        self.characters = 0

    @property
    def full(self) -> bool:
        """Whether the command wrote as much as it may."""
        return self._bytes_left <= 0

    @property
    def unfinished(self) -> str:
        """The line being written, as it stands now."""
        return redact(self._cleaner.unfinished)

    def feed(self, data: bytes) -> str:
        """Take output; give back what it added to the file. What is over the cap is dropped."""
        taken = data[: max(self._bytes_left, 0)]
        self._bytes_left -= len(data)
        added = self._write(self._cleaner.feed(taken))
        if added:
            self._file.flush()  # others follow the file
        return added

    def close(self) -> str:
        """Write what is left and close the file; give back what that added. Again is harmless."""
        if self._file.closed:
            return ""
        rest, self._held = self._held + self._cleaner.finish(), ""
        with self._file:
            return self._append(rest)

    def _write(self, text: str) -> str:
        """A private key spans lines: from its first line on, text waits for its last."""
        text, self._held = self._held + text, ""
        begin = text.rfind(_KEY_BLOCK)
        if begin >= 0 and "-----END " not in text[begin:] and len(text) - begin < _MAX_KEY_BLOCK:
            text, self._held = text[:begin], text[begin:]
        return self._append(text)

    def _append(self, text: str) -> str:
        safe = redact(text) if text else ""
        self._file.write(safe)
        self.characters += len(safe)
        return safe


class OutputLog:
    """Passes output on to `write`, at most once in LOG_SECONDS and at most LOG_CHARACTERS of it.

    A text that ends with CR is the present form of an unfinished line, which a later text replaces.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._waiting = ""
        self._left_out = 0
        self._shown_line = ""
        self._next = time.monotonic()

    def add(self, text: str) -> None:
        """Take finished lines; only the last LOG_CHARACTERS of what waits are kept."""
        waiting = self._waiting + text
        self._waiting = waiting[-LOG_CHARACTERS:]
        self._left_out += len(waiting) - len(self._waiting)

    def seconds_to_wait(self) -> float | None:
        """Until something may be passed on; None when nothing waits."""
        return max(self._next - time.monotonic(), 0.0) if self._waiting else None

    @property
    def due(self) -> bool:
        """Whether it is time to pass something on."""
        return time.monotonic() >= self._next

    def flush(self, unfinished: str = "") -> None:
        """Pass on what waits; when nothing does, the unfinished line if it changed."""
        if self._waiting:
            gap = f"[... {self._left_out:,} characters ...]\n" if self._left_out else ""
            self._send(gap + self._waiting)
        elif unfinished and unfinished != self._shown_line:
            self._shown_line = unfinished
            self._send(unfinished[-LOG_CHARACTERS:] + "\r")

    def _send(self, text: str) -> None:
        self._waiting, self._left_out = "", 0
        self._next = time.monotonic() + LOG_SECONDS
        self._write(text)
