"""`threads list` and `threads show`. They take no thread's lock, so they also work on a running thread."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_intern.commands.output import Json, fitted_columns, local_time, print_json, print_lines
from ml_intern.commands.threads.opened import threads_of_user
from ml_intern.configs.errors import UsageError
from ml_intern.terminal.render.summary import call_summary, one_line, plan_lines
from ml_intern.text.formatting import plural, spent

if TYPE_CHECKING:
    from ml_intern.graph.state import PlanStep
    from ml_intern.outbound.conversation import Message
    from ml_intern.session.protocol import QueuedMessage, ThreadRow, TurnInfo


def list_threads(
    here: Annotated[bool, typer.Option("--here", help="only threads in the working folder")] = False,
    children: Annotated[bool, typer.Option("--children", help="include the threads of sub-agents")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="show at most N (0: all)")] = 20,
    json: Json = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="show the threads of all folders as they change; Enter opens one")
    ] = False,
) -> int:
    """List threads, the most recently used first."""
    if watch:
        if here or children or json:
            raise UsageError("--watch shows the threads of all folders", "omit --here, --children and --json")
        from ml_intern.commands.threads.watch import watch_threads

        return watch_threads(limit or None)
    rows = asyncio.run(_rows(str(Path.cwd()) if here else None, limit or None, children=children))
    if json:
        return print_json([thread_json(row) for row in rows])
    if not rows:
        return print_lines(["no threads yet"])
    head = ("ID", "STATE", "TURNS", "COST", "USED", "TITLE", "FOLDER")
    return print_lines(fitted_columns([head, *map(_cells, rows)], ("FOLDER", "USED", "COST", "TURNS")))


async def _rows(folder: str | None, limit: int | None, *, children: bool) -> "Sequence[ThreadRow]":
    async with threads_of_user() as threads:
        return await threads.list(folder, limit, children=children)


def _cells(row: "ThreadRow") -> tuple[str, ...]:
    used = local_time(row.updated)
    return (
        row.id[:8],
        row.state,
        str(row.turns),
        spent(row.cost_usd, row.unpriced_requests),
        used,
        row.title or "(untitled)",
        row.folder,
    )


def thread_json(row: "ThreadRow") -> dict[str, Any]:
    """Return a thread as JSON, with times in seconds since the epoch."""
    return {key: value for key, value in asdict(row).items() if key != "redo"}


def show_thread(
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="id, unique id prefix or title")],
    json: Json = False,
) -> int:
    """Show a thread: its state, conversation, queued messages, plan, and the turns that undo can return to."""
    shown = asyncio.run(_read(thread))
    if json:
        listed = [{"number": turn.number, "text": turn.text, "ended": turn.ended} for turn in shown.turns]
        messages = [message_json(message) for message in shown.messages]
        queue = [asdict(message) for message in shown.queue]
        return print_json(
            {
                "thread": thread_json(shown.row),
                "messages": messages,
                "plan": list(shown.plan),
                "turns": listed,
                "queue": queue,
            }
        )
    conversation = [*_conversation(shown.messages), *_queue(shown.queue)]
    return print_lines([*_header(shown.row), *conversation, *_plan(shown.plan), *_turns(shown.turns)])


@dataclass(frozen=True)
class _Shown:
    row: "ThreadRow"
    messages: "Sequence[Message]"
    plan: "Sequence[PlanStep]"
    turns: "Sequence[TurnInfo]"
    queue: "Sequence[QueuedMessage]"


async def _read(text: str) -> _Shown:
    async with threads_of_user() as threads, threads.read(text) as thread:
        row = await threads.find(thread.thread_id)
        turns, queue = await thread.turns(), await thread.queue()
        return _Shown(row, await thread.history(), await thread.plan(), turns, queue)


ROLES = {"user": "human", "note": "note", "assistant": "ai", "tool": "tool"}
"""The names of the roles in the JSON output."""


def message_json(message: "Message") -> dict[str, Any]:
    """Return a message as JSON: role, text and the fields of its role."""
    shown: dict[str, Any] = {"role": ROLES[message.role], "id": message.id, "text": message.text}
    if message.calls:
        shown["tool_calls"] = [{"id": call.id, "name": call.name, "args": call.args} for call in message.calls]
    if message.role == "tool":
        shown |= {"tool_call_id": message.call_id, "name": message.name, "ok": message.ok}
    return shown


def _header(row: "ThreadRow") -> Iterator[str]:
    yield f"{row.title or '(untitled)'}"
    turns, cost = plural(row.turns, "turn"), spent(row.cost_usd, row.unpriced_requests)
    yield f"{row.id}  {row.state}, {turns}, {cost}, last used {local_time(row.updated)}"
    yield f"folder: {row.folder}"
    if row.parent:
        yield f"parent: {row.parent}" + (f", forked after turn {row.forked_at}" if row.forked_at is not None else "")


def _conversation(messages: "Sequence[Message]") -> Iterator[str]:
    for message in messages:
        yield ""
        if message.role == "tool":
            yield f"[{message.name}, {'ok' if message.ok else 'failed'}]"
        else:
            yield "[ml-intern]" if message.role == "assistant" else f"[{message.role}]"
        if message.text.strip():
            yield message.text.rstrip()
        for call in message.calls:
            yield f"-> {call_summary(call.name, call.args)}"


def _queue(messages: "Sequence[QueuedMessage]") -> Iterator[str]:
    for message in messages:
        yield from ("", "[queued]", message.text.rstrip())


def _plan(steps: "Sequence[PlanStep]") -> list[str]:
    return ["", "[plan]", *plan_lines(steps)] if steps else []


def _turns(turns: "Sequence[TurnInfo]") -> list[str]:
    return ["", "[turns]", *(f"{turn.number:3}  {one_line(turn.text)}" for turn in turns)] if len(turns) > 1 else []
