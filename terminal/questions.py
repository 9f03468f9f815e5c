"""Questions asked before a session begins, one after the other on a plain terminal."""

from collections.abc import Sequence

from prompt_toolkit import prompt

from terminal.keys import forget_keys
from terminal.screen import Screen


class Left(Exception):
    """The user left the questions: Ctrl-C, Ctrl-D."""


def ask(question: str, *, hidden: bool = False, default: str = "") -> str:
    """One line, without the blanks around it. Raises Left."""
    forget_keys()
    try:
        return prompt(question, is_password=hidden, default=default).strip()
    except (EOFError, KeyboardInterrupt) as error:
        raise Left from error


def yes(question: str) -> bool:
    """Whether the answer is yes; empty is yes. Raises Left."""
    return ask(f"{question} [Y/n] ").lower() in ("", "y", "yes")


def choose(screen: Screen, rows: Sequence[tuple[str, str]], question: str) -> int | None:
    """The place of the row that is chosen by its number, asked until it is one; None for no answer. Raises Left."""
    width = max(len(name) for name, _ in rows) + 2
    for number, (name, about) in enumerate(rows, start=1):
        screen.line(f"{number:4}  {name:{width}}{about}".rstrip())
    while answer := ask(question):
        if answer.isdecimal() and 1 <= int(answer) <= len(rows):
            return int(answer) - 1
        screen.line(f"a number from 1 to {len(rows)}", "red")
    return None
