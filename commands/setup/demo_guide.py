"""The demo on a terminal: the task is the first message, and the scripted model's first command asks a person."""

import sys
from typing import TYPE_CHECKING

from ml_intern.graph.operations import SetMode

if TYPE_CHECKING:
    from ml_intern.session.protocol import Session
    from ml_intern.terminal.app import Messages


class TaskFirst:
    """Gives the task as the first message; after that the person talks."""

    def __init__(self, session: "Session", person: "Messages", task: str) -> None:
        self._session = session
        self._person = person
        self._task = task

    async def message(self, default: str = "") -> str:
        """The task once, then what the person types."""
        task, self._task = self._task, ""
        if not task:
            return await self.further(default)
        print(f"> {task}\n")
        return task

    @property
    def exit_code(self) -> int:
        """The exit code that the last turn ended with."""
        return self._session.end.exit_code if self._session.end else 0

    async def further(self, default: str) -> str:
        """The next message of the person."""
        return await self._person.message(default)

    def give_way(self) -> str:
        """What the person typed so far."""
        return self._person.give_way()

    async def line(self, question: str, default: str = "") -> str | None:
        """The person's answer to a question."""
        return await self._person.line(question, default)


class OneTurn(TaskFirst):
    """For the scripted model: one turn. The first command really asks; with a yes the others run unasked."""

    async def further(self, default: str) -> str:  # noqa: ARG002 nothing is typed
        """Nothing: the script is at its end."""
        raise EOFError

    async def line(self, question: str, default: str = "") -> str | None:
        """The person's answer; yes is taken for the rest of the demo."""
        answer = await super().line(question, default)
        if answer is not None and answer.strip().lower() in ("y", "yes"):
            print("demo: the other commands of this demo run without asking", file=sys.stderr)
            await self._session.submit(SetMode("auto"))
        return answer
