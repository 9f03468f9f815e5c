"""/undo, /redo, and the list of turns that Esc Esc opens."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml_intern.configs.errors import MLInternError
from ml_intern.graph import operations as ops
from ml_intern.terminal.render.summary import age, one_line
from ml_intern.text.formatting import and_more

if TYPE_CHECKING:
    from ml_intern.session.protocol import TurnInfo
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
LISTED_CHANGES = 15
LISTED_TURNS = 20


async def undo(host: "Host", argument: str) -> None:
    """Undo turns, after showing which files change. The message of the oldest undone turn is put into the prompt."""
    number, scope = _turns_and_scope(argument)
    if scope is None or number < 1:
        host.screen.line("usage: /undo [N] [conversation|files]", "red")
        return
    if scope == "both":
        scope = await _chosen_scope(host, number)
    if scope is not None:
        await host.perform(ops.Undo(number, scope))


def _turns_and_scope(argument: str) -> "tuple[int, ops.Scope | None]":
    words = argument.split()
    number = int(words.pop(0)) if words and words[0].isdecimal() else 1
    return number, SCOPES.get(" ".join(words) or "both")


async def _chosen_scope(host: "Host", number: int) -> "ops.Scope | None":
    """Ask what to undo when files would change; None for nothing."""
    try:
        found = await host.session.preview_undo(number)
    except MLInternError as error:
        host.screen.line(str(error), "red")
        return None
    if not found.changes:
        return "both"
    for change in found.changes[:LISTED_CHANGES]:
        lines = f"  +{change.added} -{change.removed}" if change.added is not None else ""
        host.screen.line(f"  {FILE_CHANGES[change.kind]:12}{change.path}{lines}")
    if more := and_more(len(found.changes), LISTED_CHANGES, "file"):
        host.screen.line(f"  {more}")
    for note in found.notes:
        host.screen.line(note, "dim")
    answer = await host.prompt.line("undo: b both  c conversation  f files  Enter cancel: ")
    return SCOPES.get((answer or "").strip().lower())


async def redo(host: "Host", argument: str) -> None:
    """Restore the turns of the last undo."""
    scope = SCOPES.get(argument or "both")
    if scope is None:
        host.screen.line("usage: /redo [conversation|files]", "red")
        return
    await host.perform(ops.Redo(scope))


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
