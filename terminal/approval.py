"""The approval dialogue: shows each pending call and reads the answer."""

import asyncio
import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ml_intern.terminal.keys import shown_keys
from ml_intern.terminal.render.preview import preview
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from ml_intern.graph.operations import Decision
    from ml_intern.terminal.prompt import LineReader
    from ml_intern.terminal.screen import Screen

QUESTION = "question"
EDITED_ARGUMENT = {"bash": "command", "write": "content", "edit": "new"}
"""The argument that "edit" opens, by tool. For other tools it opens all arguments as JSON."""
ALL_LINES = 100_000
ALWAYS: "Mapping[str, Literal['thread', 'folder']]" = {"t": "thread", "g": "folder"}


class ApprovalDeferred(Exception):
    """The user left without answering; the requests stay pending."""


class NewMessage(Exception):
    """The user answered a question about the turn with a message: the turn ends, and the model reads it."""


class Dialogue:
    """Asks about one batch of requests."""

    def __init__(self, screen: "Screen", asks: "LineReader", workspace: Path) -> None:
        self._screen = screen
        self._asks = asks
        self._workspace = workspace

    async def decide(self, requests: Sequence[Mapping[str, Any]]) -> "dict[str, Decision]":
        """Return the decision for each request, by request id.

        Raises:
            ApprovalDeferred: Ctrl-D.
            KeyboardInterrupt: Ctrl-C.
            NewMessage: the user typed a sentence at a question that is not about a call.
        """
        decisions: dict[str, Decision] = {}
        for number, request in enumerate(requests):
            answer = await self._one(request, len(requests) - number)
            if answer is None:
                return decisions | {waiting["id"]: {"type": "approve"} for waiting in requests[number:]}
            decisions[request["id"]] = answer
        return decisions

    async def _one(self, request: Mapping[str, Any], waiting: int) -> "Decision | None":
        """Return the decision on one request; None when the answer was yes to all."""
        self._present(request)
        question = _question(request, waiting)
        while True:
            answer = (await self._line(question)).strip()
            if waiting > 1 and answer.lower() in ("a", "all"):
                return None
            if decision := await self._decision(answer, request):
                return decision
            if answer.lower() not in ("", "e", "edit", "v", "view"):
                self._screen.line(
                    "Unknown answer. Type y (alone), n, r, e or v, or a sentence to reject with that reason.", "dim"
                )

    async def _decision(self, answer: str, request: Mapping[str, Any]) -> "Decision | None":
        """Return the decision, or None when there is none yet. Only a word of its own approves."""
        word, _, rest = (part.strip() for part in answer.partition(" "))
        if word.lower() in ("n", "no"):
            return {"type": "reject", "message": rest} if rest else {"type": "reject"}
        if word.lower() in ("r", "reason"):
            return {"type": "reject", "message": rest or await self._line("reason: ")}
        if not rest:
            return await self._by_word(word.lower(), request)
        if word.lower() in ("y", "yes"):  # neither a clear yes nor a clear no
            return None
        if request["name"] == QUESTION:
            raise NewMessage(answer)
        return {"type": "reject", "message": answer}

    async def _by_word(self, word: str, request: Mapping[str, Any]) -> "Decision | None":
        if word in ("y", "yes"):
            return {"type": "approve"}
        if request["name"] == QUESTION:
            return None
        if word in ALWAYS and request.get("always"):
            return {"type": "approve", "always": ALWAYS[word]}
        if word in ("e", "edit"):
            return await self._edited(request)
        if word in ("v", "view"):
            self._screen.lines(preview(request["name"], request["args"], self._workspace, ALL_LINES))
        return None

    def _present(self, request: Mapping[str, Any]) -> None:
        if request["name"] == QUESTION:
            self._screen.line(request["description"], "bold yellow")
            return
        self._screen.line(f"approve {request['name']}? ({request['description']})", "bold yellow")
        self._screen.lines(preview(request["name"], request["args"], self._workspace))
        if offered := request.get("always"):
            self._screen.line(f"t and g also allow, for ordinary files here: {granted_words(offered)}", "dim")

    async def _line(self, question: str) -> str:
        answer = await self._asks.line(question)
        if answer is None:
            raise ApprovalDeferred
        return answer

    async def _edited(self, request: Mapping[str, Any]) -> "Decision | None":
        """Let the user edit the arguments; return None when they are unchanged, invalid or not confirmed."""
        name = EDITED_ARGUMENT.get(request["name"], "")
        before = str(request["args"][name]) if name else json.dumps(request["args"], ensure_ascii=False, indent=2)
        after = await self._edit_text(before)
        if after is None or after == before:
            self._screen.line("no changes", "dim")
            return None
        args = {**request["args"], name: after} if name else _json_object(after)
        if args is None:
            self._screen.line("the edited text is not a JSON object", "red")
            return None
        self._screen.lines(preview(request["name"], args, self._workspace))
        return {"type": "edit", "args": args} if await self._confirmed() else None

    async def _confirmed(self) -> bool:
        return (await self._line("run the edited call? [y/N] ")).strip().lower() in ("y", "yes")

    async def _edit_text(self, text: str) -> str | None:
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
        if editor:
            return await asyncio.to_thread(edit_in, editor, text)
        if "\n" in text:
            self._screen.line("set $EDITOR to edit text of several lines", "red")
            return None
        return await self._asks.line("edit: ", text)


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _question(request: Mapping[str, Any], waiting: int) -> str:
    everything = "  a yes to all pending calls" if waiting > 1 else ""
    if request["name"] == QUESTION:
        return f"y yes  n no{everything}: "
    always = "  t always in this thread  g always in this folder" if request.get("always") else ""
    return f"y yes{always}  n no  r no, with a reason  e edit  v view{everything}: "


def granted_words(grants: Sequence[Mapping[str, Any]]) -> str:
    """Describe what permission grants allow."""
    return visible(
        "; ".join(f"{' '.join(one['prefix'])} ..." if one["prefix"] else f"every {one['tool']}" for one in grants)
    )


def edit_in(editor: str, text: str) -> str | None:
    """Open a text in the user's editor and return the result, without an added final newline; None when it fails."""
    with tempfile.TemporaryDirectory(prefix="ml-intern-") as folder:
        path = Path(folder) / "edit.txt"
        path.write_text(text, encoding="utf-8")
        try:
            with shown_keys():
                done = subprocess.run([*shlex.split(editor), str(path)], check=False)
        except (OSError, ValueError):
            return None
        after = path.read_text(encoding="utf-8", errors="replace") if done.returncode == 0 else None
    return after if after is None or text.endswith("\n") else after.removesuffix("\n")
