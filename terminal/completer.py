"""Completion in the prompt: slash commands, their arguments, and @path."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit.completion import Completer, Completion

from ml_intern.terminal.slash.table import BY_NAME, SLASH_COMMANDS

if TYPE_CHECKING:
    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

MAX_PATHS = 100


class PromptCompleter(Completer):
    """Completes the text before the cursor. Paths are relative to the working folder."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

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
            written = f"{folder}/{name}" if folder else name
            quoted = f'"{written}"' if " " in written else written
            yield Completion(quoted, start_position=-len(typed), display=name)


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
