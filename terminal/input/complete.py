"""Completion in the prompt: slash commands, their arguments, and @path."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit.completion import Completer, Completion

from ml_intern.terminal.slash.table import BY_NAME, SLASH_COMMANDS
from ml_intern.terminal.views.picker import rank

if TYPE_CHECKING:
    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

MAX_PATHS = 100
FRESH_S = 5.0
"""Seconds after which the files are read again."""


class PromptCompleter(Completer):
    """Completes the text before the cursor, in a thread. Paths are relative to the working folder.

    `files` returns the files of the project in a folder.
    """

    def __init__(self, workspace: Path, files: Callable[[Path], Sequence[str]]) -> None:
        self._workspace = workspace
        self._files = files
        self._known: Sequence[str] = ()
        self._read_at = float("-inf")

    def get_completions(self, document: "Document", complete_event: "CompleteEvent") -> Iterable[Completion]:  # noqa: ARG002
        """Return the possible completions."""
        text = document.text_before_cursor
        word = document.get_word_before_cursor(WORD=True)
        if word.startswith("@"):
            return self._paths(word[1:])
        if text.startswith("/") and "\n" not in text:
            return _commands(text)
        return ()

    def _paths(self, typed: str) -> Iterator[Completion]:
        """Yield the entries of the folder that begin so, then the files of the project that match, best first."""
        written = list(self._entries(typed))
        if typed.strip("./"):
            names = self._project_files()
            written += [names[place] for place in rank(typed, names)[:MAX_PATHS]]
        for name in dict.fromkeys(written):
            quoted = f'"{name}"' if " " in name else name
            yield Completion(quoted, start_position=-len(typed), display=name)

    def _project_files(self) -> Sequence[str]:
        if time.monotonic() - self._read_at > FRESH_S:
            self._known, self._read_at = self._files(self._workspace), time.monotonic()
        return self._known

    def _entries(self, typed: str) -> Iterator[str]:
        folder, _, start = typed.rpartition("/")
        try:
            entries = sorted((self._workspace / (folder or ".")).iterdir(), key=lambda entry: entry.name)
        except OSError:
            return
        found = (
            entry for entry in entries if entry.name.startswith(start) and (start or not entry.name.startswith("."))
        )
        for _, entry in zip(range(MAX_PATHS), found, strict=False):
            name = entry.name + "/" * entry.is_dir()
            yield f"{folder}/{name}" if folder else name


def _commands(text: str) -> Iterator[Completion]:
    name, space, argument = text.partition(" ")
    if space:
        values = BY_NAME[name].values if name in BY_NAME else ()
        yield from (Completion(value, -len(argument)) for value in values if value.startswith(argument))
        return
    for command in SLASH_COMMANDS:
        for known in command.names:
            if known.startswith(name):
                yield Completion(known, -len(name), display_meta=command.help)
