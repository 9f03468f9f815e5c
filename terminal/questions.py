"""Questions asked before a session begins."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ml_intern.terminal.views.choice import ChoiceView, ListChoice
from ml_intern.terminal.views.outcome import Chosen

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ml_intern.terminal.input.reader import SessionTerminal

T = TypeVar("T")
YES, NO = ("", "y", "yes"), ("n", "no")
TRUSTED = "These settings can start programs, allow commands and send your keys to other servers."


class SetupCancelled(Exception):
    """The user cancelled the set-up with Ctrl-C or Ctrl-D."""


class Questions:
    """Asks in the running console, from a worker thread. Every method raises SetupCancelled."""

    def __init__(self, console: "SessionTerminal") -> None:
        self._console = console
        self._loop = asyncio.get_running_loop()

    def line(self, text: str, style: str = "") -> None:
        """Show a line."""
        self._loop.call_soon_threadsafe(self._console.transcript.line, text, style)

    def ask(self, question: str, *, hidden: bool = False, default: str = "") -> str:
        """Ask for one line and return it stripped."""

        async def answer() -> str | None:
            try:
                return await self._console.line(question, default, hidden=hidden)
            except KeyboardInterrupt:
                return None

        given = self._wait(answer())
        if given is None:
            raise SetupCancelled
        return given.strip()

    def yes(self, question: str) -> bool:
        """Ask a yes/no question; an empty answer means yes. Any other text is for the input line: it asks again."""
        text = ""
        while (answer := self.ask(f"{question} [Y/n] ")).lower() not in YES + NO:
            text = answer
            self.line("neither yes nor no: it will be in the input line when the session begins", "dim")
        if text:
            self._loop.call_soon_threadsafe(self._console.replace, text)
        return answer.lower() in YES

    def choose(self, rows: Sequence[tuple[str, str]], question: str) -> int | None:
        """Ask for a row by number until the answer is valid; return its index, or None."""
        width = max(len(name) for name, _ in rows) + 2
        for number, (name, about) in enumerate(rows, start=1):
            self.line(f"{number:4}  {name:{width}}{about}".rstrip())
        while answer := self.ask(question):
            if answer.isdecimal() and 1 <= int(answer) <= len(rows):
                return int(answer) - 1
            self.line(f"type a number from 1 to {len(rows)}", "failure")
        return None

    def hand_over(self, work: Callable[[], object]) -> None:
        """Run a function that talks to the terminal itself. Ctrl-C in it raises SetupCancelled."""

        async def run() -> bool:
            async with self._console.suspended():
                before = signal.signal(signal.SIGINT, signal.default_int_handler)
                try:
                    work()
                except (KeyboardInterrupt, EOFError):
                    return False
                finally:
                    signal.signal(signal.SIGINT, before)
                return True

        if not self._wait(run()):
            raise SetupCancelled

    def _wait(self, work: "Coroutine[None, None, T]") -> T:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except CancelledError as error:  # the terminal is gone
            raise SetupCancelled from error


async def ask_trust(console: "SessionTerminal", folder: Path) -> None:
    """Ask whether to trust `folder`, if it has its own settings and no decision is saved."""
    from ml_intern.configs.trust import decide, decision, folder_settings
    from ml_intern.text.visible import visible

    things = folder_settings(folder).things
    if not things or decision(folder) is not None:
        return
    title = [f"{folder} contains:", *(f"  {thing}" for thing in things), TRUSTED, "Do you trust this folder?"]
    choices: list[ListChoice[bool | None]] = [
        ListChoice(True, "Yes, use these settings", "y", confirmed=True),
        ListChoice(False, "No, ignore them", "n"),
        ListChoice(None, "Ask next time", "l"),
    ]
    outcome = await console.choose(ChoiceView(choices, selected=2, title=title))
    if isinstance(outcome, Chosen) and outcome.value is not None:
        decide(folder, trusted=outcome.value)
        console.transcript.line(f"{'trusted' if outcome.value else 'not trusted'}: {visible(str(folder))}", "dim")
