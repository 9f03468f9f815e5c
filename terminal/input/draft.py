"""The text that was typed and not sent: saved while it is typed, and found by the next session in the same folder."""

import asyncio
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

DRAFT_S = 1.0
"""Seconds after the first change in which the text is saved. It is not written at every key."""


class UnsentText:
    """The file of one session, locked as long as the process lives, so that the others are known to be left over."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._file: Path | None = None
        self._descriptor = -1
        self._timer: asyncio.TimerHandle | None = None

    def open(self, folder: Path, workspace: Path) -> list[str]:
        """Save in this folder from now on. Return the texts that earlier sessions there left, oldest first."""
        name = hashlib.sha256(os.fsencode(workspace)).hexdigest()[:16]
        self._file = folder / f"{name}-{secrets.token_hex(4)}"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            left = sorted(folder.glob(f"{name}-*"), key=lambda file: file.stat().st_mtime)
        except OSError:
            return []
        return [text for file in left if file != self._file for text in _taken(file)]

    def changed(self) -> None:
        """Save the text soon."""
        if self._file is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DRAFT_S, self._save)

    def close(self) -> None:
        """Save the text now. An empty one leaves no file."""
        if self._timer is not None:
            self._save()
        if self._file is not None and not self._text() and self._descriptor >= 0:
            self._file.unlink(missing_ok=True)

    def _save(self) -> None:
        """Write the text. A full disk must not end the session: the text is on the screen."""
        from ml_intern.safety.secrets.redaction import redact

        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with suppress(OSError):
            written = redact(self._text()).encode("utf-8", "replace")
            descriptor = self._opened()
            os.pwrite(descriptor, written, 0)
            os.ftruncate(descriptor, len(written))

    def _opened(self) -> int:
        if self._descriptor < 0 and self._file is not None:
            self._descriptor = os.open(self._file, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self._descriptor


def _taken(file: Path) -> Iterator[str]:
    """Yield the text of a file and remove it, unless the session that writes it still runs."""
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = opened.read()
            file.unlink()
    except OSError:  # a session has it, or took it meanwhile
        return
    if text:
        yield text
