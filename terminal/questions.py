"""Questions asked before a session begins."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import prompt

from ml_intern.configs.trust import decide, decision, folder_settings
from ml_intern.terminal.keys import forget_keys
from ml_intern.terminal.screen import Screen
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from ml_intern.terminal.prompt import LineReader
    from ml_intern.terminal.screen import Screen


class SetupCancelled(Exception):
    """The user cancelled the set-up with Ctrl-C or Ctrl-D."""


def ask(question: str, *, hidden: bool = False, default: str = "") -> str:
    """Ask for one line and return it stripped. Raises SetupCancelled."""
    forget_keys()
    try:
        return prompt(question, is_password=hidden, default=default).strip()
    except (EOFError, KeyboardInterrupt) as error:
        raise SetupCancelled from error


def yes(question: str) -> bool:
    """Ask a yes/no question; an empty answer means yes. Raises SetupCancelled."""
    return ask(f"{question} [Y/n] ").lower() in ("", "y", "yes")


def choose(screen: Screen, rows: Sequence[tuple[str, str]], question: str) -> int | None:
    """Ask for a row by number until the answer is valid; return its index, or None. Raises SetupCancelled."""
    width = max(len(name) for name, _ in rows) + 2
    for number, (name, about) in enumerate(rows, start=1):
        screen.line(f"{number:4}  {name:{width}}{about}".rstrip())
    while answer := ask(question):
        if answer.isdecimal() and 1 <= int(answer) <= len(rows):
            return int(answer) - 1
        screen.line(f"type a number from 1 to {len(rows)}", "red")
    return None


async def ask_trust(screen: "Screen", asks: "LineReader", folder: Path) -> None:
    """Ask whether to trust `folder`, if it has its own settings and no decision is saved. Enter decides nothing."""
    things = folder_settings(folder).things
    if not things or decision(folder) is not None:
        return
    screen.line(f"{visible(str(folder))} contains:", "bold yellow")
    for thing in things:
        screen.line(f"  {visible(thing)}")
    screen.line("These settings can start programs, allow commands and send your keys to other servers.", "dim")
    while True:
        answer = await asks.line("Do you trust this folder? y yes  n no  Enter ask next time: ")
        word = (answer or "").strip().lower()
        if word in ("y", "yes", "n", "no"):
            decide(folder, trusted=word[0] == "y")
        if word in ("y", "yes", "n", "no", ""):
            return
