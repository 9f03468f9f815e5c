"""Questions asked before a session begins, one after the other on a plain terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import prompt

from ml_intern.configs.trust import decide, decision, folder_settings
from ml_intern.terminal.keys import forget_keys
from ml_intern.terminal.screen import Screen
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from ml_intern.terminal.approval import Asks
    from ml_intern.terminal.screen import Screen


class SetupCancelled(Exception):
    """The user left the questions: Ctrl-C, Ctrl-D."""


def ask(question: str, *, hidden: bool = False, default: str = "") -> str:
    """One line, without the blanks around it. Raises SetupCancelled."""
    forget_keys()
    try:
        return prompt(question, is_password=hidden, default=default).strip()
    except (EOFError, KeyboardInterrupt) as error:
        raise SetupCancelled from error


def yes(question: str) -> bool:
    """Whether the answer is yes; empty is yes. Raises SetupCancelled."""
    return ask(f"{question} [Y/n] ").lower() in ("", "y", "yes")


def choose(screen: Screen, rows: Sequence[tuple[str, str]], question: str) -> int | None:
    """The index of the row chosen by its number, asked until it is valid; None for no answer. Raises SetupCancelled."""
    width = max(len(name) for name, _ in rows) + 2
    for number, (name, about) in enumerate(rows, start=1):
        screen.line(f"{number:4}  {name:{width}}{about}".rstrip())
    while answer := ask(question):
        if answer.isdecimal() and 1 <= int(answer) <= len(rows):
            return int(answer) - 1
        screen.line(f"a number from 1 to {len(rows)}", "red")
    return None


async def ask_trust(screen: "Screen", asks: "Asks", folder: Path) -> None:
    """Ask about `folder` when it has something to trust it with and nothing was said yet. No answer decides nothing."""
    things = folder_settings(folder).things
    if not things or decision(folder) is not None:
        return
    screen.line(f"{visible(str(folder))} brings:", "bold yellow")
    for thing in things:
        screen.line(f"  {visible(thing)}")
    screen.line("Such settings can start programs, allow commands and send your keys elsewhere.", "dim")
    while True:
        answer = await asks.line("do you trust this folder (y yes  n no; empty: ask next time)? ")
        word = (answer or "").strip().lower()
        if word in ("y", "yes", "n", "no"):
            decide(folder, trusted=word[0] == "y")
        if word in ("y", "yes", "n", "no", ""):
            return
