"""The demo on a terminal: the task is the first message, and the scripted model's first command asks for approval."""

from typing import TYPE_CHECKING

from ml_intern.graph.operations import SetMode

if TYPE_CHECKING:
    from ml_intern.session.protocol import Session


class DemoGuide:
    """Send the task. With `one_turn`, a yes to the first command approves the others, and the session ends after it."""

    def __init__(self, task: str, *, one_turn: bool) -> None:
        self.task = task
        self.one_turn = one_turn
        self.exit_code = 0

    async def approved(self, session: "Session") -> str:
        """Approve the rest of a scripted demo."""
        if not self.one_turn:
            return ""
        await session.submit(SetMode("auto"))
        return "demo: the remaining commands of this demo run without asking"

    def ended(self, session: "Session") -> None:
        """Remember the exit code of the last turn."""
        self.exit_code = session.end.exit_code if session.end else 0
