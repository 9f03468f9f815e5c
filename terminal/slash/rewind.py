"""/undo, /redo, and the list of turns that Esc Esc opens."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ml_intern.configs.errors import MLInternError
from ml_intern.graph import operations as ops
from ml_intern.terminal.render.summary import age, one_line
from ml_intern.text.formatting import and_more

if TYPE_CHECKING:
    from ml_intern.session.protocol import FileChange, TurnInfo
    from ml_intern.terminal.slash.host import Host

SCOPES: dict[str, ops.Scope] = {
    "b": "both",
    "both": "both",
    "c": "conversation",
    "conversation": "conversation",
    "f": "files",
    "files": "files",
}
FILE_CHANGES = {"changed": "revert", "created": "restore", "removed": "remove"}
ALL_FILES = "--all-files"
LISTED_CHANGES = 15
LISTED_TURNS = 20


async def undo(host: "Host", argument: str) -> None:
    """Undo turns, after showing which files change. The message of the oldest undone turn is put into the prompt."""
    words = argument.split()
    number = int(words.pop(0)) if words and words[0].isdecimal() else 1
    scope, all_files = _scope(words)
    if scope is None or number < 1:
        host.screen.line("usage: /undo [N] [conversation|files] [--all-files]", "red")
        return
    operation: ops.Undo | None = ops.Undo(number, scope, all_files)
    if scope == "both":
        operation = await _confirmed(host, ops.Undo(number, scope, all_files))
    if operation is not None:
        await host.perform(operation)


def _scope(words: "Sequence[str]") -> "tuple[ops.Scope | None, bool]":
    """Return what the words of a command restore, and whether they include --all-files."""
    rest = [word for word in words if word != ALL_FILES]
    return SCOPES.get(" ".join(rest) or "both"), len(rest) < len(words)


async def _confirmed(host: "Host", operation: ops.Undo) -> ops.Undo | None:
    """Ask what to undo when files would change or were changed by the user; None for nothing."""
    try:
        found = await host.session.preview_undo(operation)
    except MLInternError as error:
        host.screen.line(str(error), "red")
        return None
    if not found.changes and not found.kept:
        return operation
    _show_changes(host, found.changes)
    if found.kept:
        host.screen.line("changed by you, kept (a includes them):", "dim")
        _show_changes(host, found.kept)
    for note in found.notes:
        host.screen.line(note, "dim")
    everything = "  a all files, yours too" if found.kept else ""
    answer = await host.prompt.line(f"undo: b both  c conversation  f files{everything}  Enter cancel: ")
    chosen = (answer or "").strip().lower()
    if everything and chosen in {"a", "all"}:
        return replace(operation, all_files=True)
    scope = SCOPES.get(chosen)
    return None if scope is None else replace(operation, files=scope)


def _show_changes(host: "Host", changes: "Sequence[FileChange]") -> None:
    for change in changes[:LISTED_CHANGES]:
        lines = f"  +{change.added} -{change.removed}" if change.added is not None else ""
        host.screen.line(f"  {FILE_CHANGES[change.kind]:12}{change.path}{lines}")
    if more := and_more(len(changes), LISTED_CHANGES, "file"):
        host.screen.line(f"  {more}")


async def redo(host: "Host", argument: str) -> None:
    """Restore the turns of the last undo."""
    scope, all_files = _scope(argument.split())
    if scope is None:
        host.screen.line("usage: /redo [conversation|files] [--all-files]", "red")
        return
    await host.perform(ops.Redo(scope, all_files))


async def rewind(host: "Host", _: str) -> None:
    """Let the user choose a turn, and undo it and those after it."""
    turns = await host.session.turns()
    number = 1 if len(turns) < 2 else await _chosen_turn(host, turns)
    if number:
        await undo(host, str(number))


async def _chosen_turn(host: "Host", turns: "Sequence[TurnInfo]") -> int:
    """Return the number of turns to undo; 0 for none."""
    now = time.time()
    shown = turns[-LISTED_TURNS:]
    for turn in shown:
        when = age(now - turn.ended) if turn.ended else ""
        host.screen.line(f"{turn.number:3}  {when:>6}  {one_line(turn.text)}")
    answer = await host.prompt.line("undo from which turn on? (number, or Enter to cancel) ")
    found = [place for place, turn in enumerate(shown) if str(turn.number) == (answer or "").strip()]
    return len(shown) - found[0] if found else 0
