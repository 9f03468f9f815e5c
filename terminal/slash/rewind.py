"""/undo, /redo, and the list of turns that Esc Esc opens."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ml_intern.configs.errors import MLInternError
from ml_intern.graph import operations as ops
from ml_intern.terminal.render.replay import without_files
from ml_intern.terminal.render.summary import one_line
from ml_intern.terminal.slash.inherited import operation_before, rewind_turns
from ml_intern.terminal.views.outcome import Chosen
from ml_intern.terminal.views.rewind import Effect, ForkBefore, RewindTurn, RewindView, UndoFrom, scope_view
from ml_intern.text.formatting import and_more, plural

if TYPE_CHECKING:
    from ml_intern.session.protocol import FileChange, UndoPreview
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


async def undo(host: "Host", argument: str) -> None:
    """Undo turns, after showing which files change. The message of the oldest undone turn is put into the prompt."""
    words = argument.split()
    if not words:
        await rewind(host)
        return
    number = int(words.pop(0)) if words[0].isdecimal() else 1
    scope, all_files = _scope(words)
    if scope is None or number < 1:
        host.screen.line("usage: /undo [N] [conversation|files] [--all-files]", "failure")
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
        effect = effect_of(await host.session.preview_undo(operation))
    except MLInternError as error:
        host.screen.line(str(error), "failure")
        return None
    if not effect.files:
        return operation
    title = f"Undo {plural(operation.turns, 'turn')}: what to restore?"
    outcome = await host.choose(scope_view(effect, [title, *effect.lines]))
    if not isinstance(outcome, Chosen):
        host.screen.line("nothing was undone", "dim")
        return None
    scope, all_files = outcome.value
    return replace(operation, files=scope, all_files=operation.all_files or all_files)


def effect_of(found: "UndoPreview", text: str = "") -> Effect:
    """Return the effect of an undo. `text` is the message of its oldest turn."""
    lines = [_asked(text)] if text else []
    lines += _change_lines(found.changes) or ["no files change"]
    if found.kept:
        lines += ["changed by you, kept unless you include them:", *_change_lines(found.kept)]
    return Effect([*lines, *found.notes], files=bool(found.changes or found.kept), yours=bool(found.kept))


def _asked(text: str) -> str:
    return f"> {one_line(without_files(text), 200)}"


def _change_lines(changes: "Sequence[FileChange]") -> list[str]:
    lines = []
    for change in changes[:LISTED_CHANGES]:
        counts = f"  +{change.added} -{change.removed}" if change.added is not None else ""
        lines.append(f"{FILE_CHANGES[change.kind]:8}{change.path}{counts}")
    more = and_more(len(changes), LISTED_CHANGES, "file")
    return [*lines, more] if more else lines


async def redo(host: "Host", argument: str) -> None:
    """Restore the turns of the last undo."""
    scope, all_files = _scope(argument.split())
    if scope is None:
        host.screen.line("usage: /redo [conversation|files] [--all-files]", "failure")
        return
    await host.perform(ops.Redo(scope, all_files))


async def rewind(host: "Host") -> None:
    """Let the user choose a turn, and undo it and those after it. An inherited turn stays; a copy ends before it."""
    turns = await rewind_turns(host.session)
    if not turns:
        host.screen.line("there is nothing to undo", "dim")
        return
    view = RewindView(turns, time.time())

    async def load(turn: RewindTurn) -> Effect:
        return await _effect(host, turn, view.count(turn))

    match await host.choose(view, load):
        case UndoFrom(_, count, scope, all_files):
            await host.perform(ops.Undo(count, scope, all_files))
        case ForkBefore(turn):
            await host.perform(await operation_before(host.session, turns, turn))
            about = f"turn {turn.number}, {one_line(turn.text, 60)!r}"
            host.screen.line(f"continued before {about}; files were not changed", "dim")


async def _effect(host: "Host", turn: RewindTurn, count: int) -> Effect:
    if turn.thread:
        return Effect([_asked(turn.text), "continues in a copy that ends before it; no files change"])
    try:
        return effect_of(await host.session.preview_undo(ops.Undo(count)), turn.text)
    except MLInternError as error:
        return Effect([str(error)])
