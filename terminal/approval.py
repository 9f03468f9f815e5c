"""Approvals: asks about pending calls in a list, edits and shows them, and reports what was answered."""

import asyncio
import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.terminal.blocks.sentence import QUESTION, covered
from ml_intern.terminal.render.preview import preview, preview_text
from ml_intern.terminal.views.approval import ApprovalView, Decided, EditCall, ReadOutputs, ViewCall

if TYPE_CHECKING:
    from ml_intern.graph.operations import Decision
    from ml_intern.terminal.input.reader import SessionTerminal

EDITED_ARGUMENT = {"bash": "command", "write": "content", "edit": "new"}
"""The argument that "edit" opens, by tool. For other tools it opens all arguments as JSON."""
SCOPES = {"thread": "in this thread", "folder": "in this folder", "everywhere": "in every folder"}


async def _nothing() -> None:
    """Show no outputs."""


class Approvals:
    """Asks about one batch of requests.

    `read_outputs` shows the outputs of the thread. `waits` returns whether no other client has answered yet.
    """

    def __init__(
        self,
        console: "SessionTerminal",
        requests: Sequence[Mapping[str, Any]],
        workspace: Path,
        *,
        read_outputs: Callable[[], Awaitable[object]] = _nothing,
        waits: Callable[[], bool] = lambda: True,
    ) -> None:
        self._console = console
        self._read_outputs = read_outputs
        self._waits = waits
        self._screen = console.transcript
        self._workspace = workspace
        self._requests = {request["id"]: request for request in requests}
        previews = {id: preview(one["name"], one["args"], workspace) for id, one in self._requests.items()}
        self._view = ApprovalView(requests, {id: lines for id, lines in previews.items() if not self._asks(id)})
        for id, lines in previews.items():
            self._screen.propose(id, lines)

    async def outcome(self) -> object:
        """Return the outcome: Decided, NewMessage, Deferred, Cancelled, or the one that dismissed the list.

        None if another client answered while the user read or edited something.
        """
        while self._waits():
            outcome = await self._console.choose(self._view)
            match outcome:
                case EditCall(id):
                    await self._edit(id)
                case ViewCall(id):
                    request = self._requests[id]
                    lines = preview(request["name"], self._view.args(id), self._workspace)
                    await self._console.page(preview_text(lines))
                case ReadOutputs():
                    await self._read_outputs()
                case Decided(decisions):
                    self._report(decisions)
                    return outcome
                case _:
                    return outcome
        return None

    def show_unanswered(self) -> None:
        """Show the calls that do not run because the user interrupted the turn instead of answering."""
        for id, request in self._requests.items():
            if not self._asks(id):
                self._screen.unanswered(id, request["name"])

    def _asks(self, id: str) -> bool:
        """Return whether a request is a question about the turn, not about a call."""
        return bool(self._requests[id]["name"] == QUESTION)

    def _report(self, decisions: "Mapping[str, Decision]") -> None:
        """Show the answers that no later row shows: saved permissions, and answers to questions about the turn."""
        for id, decision in decisions.items():
            request = self._requests[id]
            if scope := decision.get("always"):
                self._screen.line(f"allowed {SCOPES[scope]}: {covered(request['always'])}", "dim")
            elif self._asks(id):
                answer = "yes" if decision["type"] == "approve" else "no"
                self._screen.line(f"{request['description']} {answer}", "dim")

    async def _edit(self, id: str) -> None:
        """Let the user edit the arguments. The list asks about the edited call."""
        tool, args = self._requests[id]["name"], self._view.args(id)
        name = EDITED_ARGUMENT.get(tool, "")
        before = str(args[name]) if name else json.dumps(args, ensure_ascii=False, indent=2)
        after = await self._edit_text(before)
        if after is None or after == before:
            self._console.hint("no changes")
            return
        changed = {**args, name: after} if name else json_object(after)
        if changed is None:
            self._screen.line("the edited text is not a JSON object", "failure")
            return
        lines = preview(tool, changed, self._workspace)
        self._view.edited(id, changed, lines)
        self._screen.propose(id, lines)

    async def _edit_text(self, text: str) -> str | None:
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
        if editor:
            async with self._console.suspended():
                return await asyncio.to_thread(edit_in, editor, text)
        self._console.hint("Enter saves the change, Esc discards it, Ctrl-J starts a new line")
        try:
            return await self._console.line("edit: ", text, recorded=False)
        except KeyboardInterrupt:
            return None


def json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object that a text is; None for anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def edit_in(editor: str, text: str) -> str | None:
    """Open a text in the user's editor and return the result, without an added final newline; None when it fails."""
    with tempfile.TemporaryDirectory(prefix="ml-intern-") as folder:
        path = Path(folder) / "edit.txt"
        path.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run([*shlex.split(editor), str(path)], check=False)
        except (OSError, ValueError):
            return None
        after = path.read_text(encoding="utf-8", errors="replace") if done.returncode == 0 else None
    return after if after is None or text.endswith("\n") else after.removesuffix("\n")
