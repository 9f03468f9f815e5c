"""`approve`: show a thread's pending approvals, or answer them from any terminal and continue the run."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from json import loads
from pathlib import Path
from typing import Annotated, Any

import typer

from ml_intern.commands.options import MODEL_OPTIONS, SETTINGS_OPTIONS, Options, takes_options
from ml_intern.commands.output import print_json, print_lines
from ml_intern.commands.threads.opened import threads_of_user
from ml_intern.configs.errors import ApprovalNeeded, UsageError
from ml_intern.graph.operations import Decision, ExecApproval
from ml_intern.terminal.render.preview import preview
from ml_intern.text.formatting import plural

OUTPUT_OPTIONS = ("output_format", "output_schema", "no_stream", "quiet", "verbose")
LIMIT_OPTIONS = ("max_iterations", "max_budget_usd", "strict_budget", "timeout")
MODE_OPTIONS = ("approval_mode", "yolo", "sandbox", "add_dir")

ThreadAndReasons = Annotated[
    list[str], typer.Argument(metavar="THREAD", help="id, unique id prefix or title", show_default=False)
]
Everything = Annotated[bool, typer.Option("--all", help="approve every call without a --reject")]
Ids = Annotated[
    list[str] | None,
    typer.Option(
        "--id",
        metavar="ID[=ARGS]",
        help="approve this call, or run it with these arguments, a JSON object (repeatable)",
    ),
]
Rejected = Annotated[
    list[str] | None,
    typer.Option("--reject", metavar='ID "REASON"', help="reject this call, with a reason (repeatable)"),
]
Json = Annotated[bool, typer.Option("--json", help="print the pending approvals as JSON")]


@takes_options(*MODEL_OPTIONS, *SETTINGS_OPTIONS, *MODE_OPTIONS, *LIMIT_OPTIONS, *OUTPUT_OPTIONS)
def approve(
    words: ThreadAndReasons,
    everything: Everything = False,
    ids: Ids = None,
    rejected: Rejected = None,
    json: Json = False,
    *,
    options: Options,
) -> int:
    """Answer a thread's pending approvals and continue its run; without an answer, show them and exit with 3.

    If another process has the thread open, it continues there, and its events are shown here until the turn ends.
    Otherwise the run continues headless with the thread's own model, in the approval mode ask unless another is given.
    """
    thread_id, batch, folder = asyncio.run(_waiting(words[0]))
    requests: Sequence[Mapping[str, Any]] = batch["requests"]
    if not (everything or ids or rejected):
        print_json({"thread_id": thread_id, **batch}) if json else print_lines(_shown(thread_id, requests, folder))
        return ApprovalNeeded.exit_code
    no = _with_reasons(rejected or [], words[1:])
    decisions = decisions_for(requests, everything=everything, yes=dict(map(_yes, ids or [])), no=no)
    mode = options.approval_mode or ("yolo" if options.yolo else "ask")
    return _go_on(replace(options, resume=thread_id, approval_mode=mode), decisions)


def _go_on(options: Options, decisions: Mapping[str, Decision]) -> int:
    from ml_intern.commands.running.headless import run_headless

    return asyncio.run(run_headless(options, ExecApproval(decisions, by="approve"), attach_as="approve"))


async def _waiting(text: str) -> tuple[str, Mapping[str, Any], str]:
    """Return the thread's id, the fields of `approval_required` and the thread's folder. Raises UsageError."""
    async with threads_of_user() as threads, threads.read(text) as thread:
        pending = await thread.pending_approval()
        if pending is None:
            raise UsageError(
                f"thread {thread.thread_id} has no pending approvals",
                "`ml-intern threads list` shows each thread's state",
            )
        return thread.thread_id, pending, (await threads.find(thread.thread_id)).folder


def _with_reasons(ids: Sequence[str], reasons: Sequence[str]) -> dict[str, str]:
    """Map each rejected id to its reason; a single reason applies to all of them."""
    if (len(reasons) > 1 and len(reasons) != len(ids)) or (reasons and not ids):
        raise UsageError(
            f"--reject was given {plural(len(ids), 'time')}, but with {plural(len(reasons), 'reason')}",
            'write --reject ID "REASON" for each, with the reason in quotes',
        )
    given = [*reasons] * len(ids) if len(reasons) == 1 else [*reasons] or [""] * len(ids)
    return dict(zip(ids, given, strict=True))


def _yes(text: str) -> tuple[str, Decision]:
    """Parse ID or ID=ARGS. Raises UsageError if ARGS is not a JSON object."""
    id, edits, written = text.partition("=")
    if not edits:
        return id, Decision(type="approve")
    try:
        args = loads(written)
    except ValueError:
        args = None
    if not isinstance(args, dict):
        raise UsageError(
            f"--id: the arguments for {id!r} are not a JSON object",
            """write for example --id call_1='{"command": "ls"}'""",
        )
    return id, Decision(type="edit", args=args)


def decisions_for(
    requests: Sequence[Mapping[str, Any]], *, everything: bool, yes: Mapping[str, Decision], no: Mapping[str, str]
) -> dict[str, Decision]:
    """Return an answer to every request. Raises UsageError for an unknown id, and for a request without an answer."""
    asked = [str(request["id"]) for request in requests]
    refused = {_full_id(id, asked): _no(reason) for id, reason in no.items()}
    allowed = {_full_id(id, asked): decision for id, decision in yes.items()}
    if twice := set(allowed) & set(refused):
        raise UsageError(f"--id and --reject both name {twice.pop()}", "use only one of them")
    answers = refused | allowed
    left = [request for request in requests if request["id"] not in answers]
    if left and not everything:
        named = ", ".join(f"{request['id']} ({request['name']})" for request in left)
        raise UsageError(f"no answer for {named}", "add --id or --reject for each, or --all to approve the rest")
    return {id: answers.get(id, Decision(type="approve")) for id in asked}


def _no(reason: str) -> Decision:
    return Decision(type="reject", message=reason) if reason else Decision(type="reject")


def _full_id(text: str, asked: Sequence[str]) -> str:
    found = [id for id in asked if id == text] or [id for id in asked if text and id.startswith(text)]
    if len(found) != 1:
        raise UsageError(
            f"{text!r} {'is not a pending approval' if not found else 'matches several approvals'}",
            f"use one of {', '.join(asked)}",
        )
    return found[0]


def _shown(thread_id: str, requests: Sequence[Mapping[str, Any]], folder: str) -> list[str]:
    lines: list[str] = []
    for request in requests:
        lines += [f"{request['id']}  {request['name']}: {request['description']}"]
        if request["name"] != "question":
            lines += [f"    {line.text}" for line in preview(request["name"], request["args"], Path(folder))]
    how = f'ml-intern approve {thread_id} --all, or --id ID, or --id ID=ARGS to change a call, or --reject ID "REASON"'
    return [*lines, f"answer: {how}; to reply in a session: ml-intern -r {thread_id}"]
