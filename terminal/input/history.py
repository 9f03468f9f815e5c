"""Earlier messages: the history file, and the list that Ctrl-R opens."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

from prompt_toolkit.history import FileHistory, History


class PrivateHistory(FileHistory):
    """A history file that only its owner can read (0600). Secrets are redacted."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        path.chmod(0o600)
        super().__init__(str(path))

    def store_string(self, string: str) -> None:
        """Append one entry."""
        from ml_intern.safety.secrets.redaction import redact

        super().store_string(redact(string))


class LateHistory(History):
    """A history whose file becomes known after the first frame. Entries added before that are saved then."""

    def __init__(self) -> None:
        super().__init__()
        self._opened = asyncio.Event()
        self._loaded = True
        self._file: PrivateHistory | None = None

    def open(self, path: Path | None) -> None:
        """Use this file; None: keep entries in memory only."""
        if self._opened.is_set():
            return
        self._file = PrivateHistory(path) if path else None
        early = list(reversed(self._loaded_strings))
        self._loaded_strings += self._file.load_history_strings() if self._file else []
        self._opened.set()
        for text in early:
            self.store_string(text)

    async def load(self) -> AsyncGenerator[str, None]:
        """Yield the entries, most recent first, as soon as the file is known."""
        await self._opened.wait()
        for text in list(self._loaded_strings):
            yield text

    def load_history_strings(self) -> Iterable[str]:
        """Return nothing: `open` loads the file."""
        return ()

    def store_string(self, string: str) -> None:
        """Append one entry to the file, if it is known."""
        if self._file:
            self._file.store_string(string)
