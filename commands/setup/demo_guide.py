"""The demo on a terminal: the task is the first message, and the scripted model's first command asks for approval."""

import sys
from typing import TYPE_CHECKING

from ml_intern.graph.operations import SetMode

if TYPE_CHECKING:
    from ml_intern.session.protocol import Session
    from ml_intern.terminal.app import Messages


class TaskFirst:
    """Send the task as the first message, then the user's messages."""

    def __init__(self, session: "Session", person: "Messages", task: str) -> None:
        self._session = session
        self._person = person
        self._task = task

    async def message(self, default: str = "") -> str:
        """Return the task once, then what the user types."""
        task, self._task = self._task, ""
        if not task:
            return await self.further(default)
        print(f"> {task}\n")
        return task

    @property
    def exit_code(self) -> int:
        """Return the exit code of the last turn."""
        return self._session.end.exit_code if self._session.end else 0

    async def further(self, default: str) -> str:
        """Return the user's next message."""
        return await self._person.message(default)

    def abort_input(self) -> str:
        """Return the text the user has typed so far."""
        return self._person.abort_input()

    async def line(self, question: str, default: str = "") -> str | None:
        """Return the user's answer to a question."""
        return await self._person.line(question, default)


class OneTurn(TaskFirst):
    """Run one turn of the scripted model. Its first command asks; after a yes, the others run without asking."""

    async def further(self, default: str) -> str:  # noqa: ARG002 the user types nothing
        """End the session, because the script has ended."""
        raise EOFError

    async def line(self, question: str, default: str = "") -> str | None:
        """Return the user's answer. A yes approves the rest of the demo."""
        answer = await super().line(question, default)
        if answer is not None and answer.strip().lower() in ("y", "yes"):
            print("demo: the remaining commands of this demo run without asking", file=sys.stderr)
            await self._session.submit(SetMode("auto"))
        return answer
