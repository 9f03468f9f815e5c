"""`threads rename`, `fork`, `undo`, `redo` and `delete`. They call no model and need no API key."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_intern.commands.output import Json, print_json, print_lines
from ml_intern.commands.threads.listing import thread_json
from ml_intern.commands.threads.opened import threads_of_user, warn
from ml_intern.configs.errors import UsageError
from ml_intern.graph.operations import Redo, Scope, Undo
from ml_intern.text.formatting import and_more, plural

if TYPE_CHECKING:
    from ml_intern.session.protocol import RewindResult, ThreadRow

Thread = Annotated[str, typer.Argument(metavar="THREAD", help="id, unique id prefix or title")]
Files = Annotated[Scope, typer.Option("--files", help="undo or redo the conversation, the files, or both")]
AllFiles = Annotated[bool, typer.Option("--all-files", help="include files that you changed outside the turns")]
TITLE_LENGTH = 200
MAX_KEPT = 20


def rename(thread: Thread, title: Annotated[str, typer.Argument(metavar="TITLE")], json: Json = False) -> int:
    """Rename a thread."""
    row = asyncio.run(_rename(thread, " ".join(title.split())[:TITLE_LENGTH]))
    return print_json(thread_json(row)) if json else print_lines([f"renamed {row.id[:8]} to {row.title!r}"])


async def _rename(text: str, title: str) -> "ThreadRow":
    if not title:
        raise UsageError("the title is empty", "ml-intern threads rename THREAD TITLE")
    async with threads_of_user() as threads:
        async with threads.hold(text) as thread:
            await thread.rename(title)
        return await threads.find(thread.thread_id)


def fork(
    thread: Thread,
    at: Annotated[int | None, typer.Option("--at", metavar="TURN", help="copy up to the end of this turn")] = None,
    json: Json = False,
) -> int:
    """Copy a thread into a new one. The copy of a running thread does not run its open calls."""
    row = asyncio.run(_fork(thread, at))
    copied = f"copied up to the end of turn {row.forked_at}; continue with: ml-intern -r {row.id[:8]}"
    return print_json(thread_json(row)) if json else print_lines([f"{row.id}", copied])


async def _fork(text: str, at: int | None) -> "ThreadRow":
    async with threads_of_user() as threads:
        return await threads.fork(text, at)


def undo(
    thread: Thread,
    turns: Annotated[int, typer.Argument(metavar="[N]", min=1, help="number of turns to undo")] = 1,
    files: Files = "both",
    all_files: AllFiles = False,
    preview: Annotated[bool, typer.Option("--preview", help="show the changes without making them")] = False,
    json: Json = False,
) -> int:
    """Undo the last turns of a thread and their changes to the files of its folder.

    Files that you changed yourself, before, between or after these turns, stay as they are unless you add --all-files.
    """
    operation = Undo(turns, files, all_files)
    if preview:
        return asyncio.run(_preview(thread, operation, as_json=json))
    return _print_moved("undo", *asyncio.run(_move(thread, operation)), as_json=json)


def redo(thread: Thread, files: Files = "both", all_files: AllFiles = False, json: Json = False) -> int:
    """Restore what the last undo removed. Files that you changed since then stay as they are."""
    return _print_moved("redo", *asyncio.run(_move(thread, Redo(files, all_files))), as_json=json)


async def _move(text: str, operation: Undo | Redo) -> "tuple[ThreadRow, RewindResult]":
    async with threads_of_user() as threads:
        async with threads.hold(text) as thread:
            moved = await thread.move(operation)
        return await threads.find(thread.thread_id), moved


async def _preview(text: str, operation: Undo, *, as_json: bool) -> int:
    from dataclasses import asdict

    async with threads_of_user() as threads, threads.hold(text) as thread:
        seen = await thread.preview_undo(operation)
    if as_json:
        return print_json({"thread": thread.thread_id, **asdict(seen)})
    changes = [f"{change.kind:8} {change.path}{_counts(change.added, change.removed)}" for change in seen.changes]
    kept = [f"{'kept':8} {change.path}  (changed by you; --all-files includes it)" for change in seen.kept[:MAX_KEPT]]
    if more := and_more(len(seen.kept), MAX_KEPT, "file"):
        kept.append(f"{'kept':8} {more}")
    return print_lines([f"would undo {plural(seen.turns, 'turn')}: {seen.text}", *changes, *kept, *seen.notes])


def _print_moved(direction: str, row: "ThreadRow", moved: "RewindResult", *, as_json: bool) -> int:
    if as_json:
        done = {"direction": direction, "turns": moved.turns, "text": moved.text, "notes": moved.notes}
        return print_json({"thread": thread_json(row), **done})
    what = {"undo": "undid", "redo": "restored"}[direction]
    line = f"{what} {plural(moved.turns, 'turn')}: {moved.text}" if moved.turns else f"{what} the files"
    return print_lines([line, *moved.notes])


def _counts(added: int | None, removed: int | None) -> str:
    return "" if added is None or removed is None else f"  +{added} -{removed}"


def delete(
    thread: Thread,
    yes: Annotated[bool, typer.Option("--yes", help="delete without asking")] = False,
    json: Json = False,
) -> int:
    """Delete a thread with its sub-agents, artifacts and snapshots. Its spending stays in the ledger."""
    deleted = asyncio.run(_delete(thread, sure=yes))
    if json:
        return print_json({"deleted": deleted})
    return print_lines([f"deleted {id}" for id in deleted] or ["nothing was deleted"])


async def _delete(text: str, *, sure: bool) -> list[str]:
    async with threads_of_user() as threads:
        row = await threads.find(text)
        if not sure and not _confirmed(row):
            return []
        deleted = await threads.delete(row.id)
    for note in deleted.notes:
        warn(note, "")
    return list(deleted.threads)


def _confirmed(row: "ThreadRow") -> bool:
    """Ask the user to confirm the deletion. Raises UsageError without a terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{row.id[:8]} was not deleted: confirmation needs a terminal", "add --yes to skip it")
    from ml_intern.text.visible import visible

    about = (
        f"{row.id[:8]} {visible(row.title or '(untitled)')!r}, {plural(row.turns, 'turn')}, in {visible(row.folder)}"
    )
    return _answer(f"Delete {about} permanently? [y/N] ").strip().lower() in ("y", "yes")


def _answer(question: str) -> Any:
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()
