"""`threads list` and `threads show`. Nothing here takes a thread's lock: a thread may be running meanwhile."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_intern.commands.opening.store import open_store
from ml_intern.commands.opening.thread import read_thread
from ml_intern.commands.output import JSON_HELP, columns, local_time, print_json, print_lines
from ml_intern.terminal.render.summary import call_summary, money, one_line, plan_lines

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from ml_intern.session.turns.turns import TurnInfo
    from ml_intern.store.threads import ThreadRow

Json = Annotated[bool, typer.Option("--json", help=JSON_HELP)]


def list_threads(
    here: Annotated[bool, typer.Option("--here", help="only threads of the working folder")] = False,
    children: Annotated[bool, typer.Option("--children", help="sub-agents' threads too")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="at most so many (0: all)")] = 20,
    json: Json = False,
) -> int:
    """List threads, the last used first."""
    rows = asyncio.run(_rows(str(Path.cwd()) if here else None, limit or None, children=children))
    if json:
        return print_json([thread_json(row) for row in rows])
    if not rows:
        return print_lines(["no threads yet"])
    head = ("ID", "STATE", "TURNS", "COST", "USED", "TITLE", "FOLDER")
    return print_lines(columns([head, *(_cells(row) for row in rows)]))


async def _rows(folder: str | None, limit: int | None, *, children: bool) -> "list[ThreadRow]":
    async with open_store() as store:
        return list(await store.threads.list(folder, limit, children=children))


def _cells(row: "ThreadRow") -> tuple[str, ...]:
    used = local_time(row.updated)
    return (row.id[:8], row.state, str(row.turns), money(row.cost_usd), used, row.title or "(untitled)", row.folder)


def thread_json(row: "ThreadRow") -> dict[str, Any]:
    """A thread as JSON: what is shown of it, times in seconds since the epoch."""
    return {key: value for key, value in asdict(row).items() if key != "redo"}


def show_thread(
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="an id, a unique prefix of one, or a title")],
    json: Json = False,
) -> int:
    """Show a thread: its state, its conversation, its plan, and the turns it can go back to."""
    row, values, turns = asyncio.run(_read(thread))
    messages, plan = values.get("messages", []), values.get("plan", [])
    if json:
        shown = [message_json(message) for message in messages]
        listed = [{"number": turn.number, "text": turn.text, "ended": turn.ended} for turn in turns]
        return print_json({"thread": thread_json(row), "messages": shown, "plan": plan, "turns": listed})
    return print_lines([*_header(row), *_conversation(messages), *_plan(plan), *_turns(turns)])


async def _read(text: str) -> "tuple[ThreadRow, Mapping[str, Any], Sequence[TurnInfo]]":
    async with read_thread(text) as found:
        return found.row, (await found.turns.snapshot()).values, await found.turns.history()


def message_json(message: "AnyMessage") -> dict[str, Any]:
    """A message as JSON: role, text, and what belongs to its role."""
    shown: dict[str, Any] = {"role": message.type, "id": message.id, "text": message.text}
    if calls := getattr(message, "tool_calls", None):
        shown["tool_calls"] = [{key: call[key] for key in ("id", "name", "args")} for call in calls]
    if message.type == "tool":
        shown |= {"tool_call_id": message.tool_call_id, "name": message.name, "ok": message.status == "success"}
    return shown


def _header(row: "ThreadRow") -> Iterator[str]:
    yield f"{row.title or '(untitled)'}"
    yield f"{row.id}  {row.state}, {row.turns} turns, {money(row.cost_usd)}, last used {local_time(row.updated)}"
    yield f"in {row.folder}"
    if row.parent:
        yield f"from {row.parent}" + (f", after its turn {row.forked_at}" if row.forked_at is not None else "")


def _conversation(messages: "list[AnyMessage]") -> Iterator[str]:
    names = {"human": "user", "ai": "ml-intern"}
    for message in messages:
        yield ""
        if message.type == "tool":
            yield f"[{message.name}, {'ok' if message.status == 'success' else 'failed'}]"
        else:
            yield f"[{names.get(message.type, message.type)}]"
        if message.text.strip():
            yield message.text.rstrip()
        for call in getattr(message, "tool_calls", []):
            yield f"-> {call_summary(call['name'], call['args'])}"


def _plan(steps: list[dict[str, Any]]) -> list[str]:
    return ["", "[plan]", *plan_lines(steps)] if steps else []


def _turns(turns: "Sequence[TurnInfo]") -> list[str]:
    return ["", "[turns]", *(f"{turn.number:3}  {one_line(turn.text)}" for turn in turns)] if len(turns) > 1 else []
