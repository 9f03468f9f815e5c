"""The goal of a thread: change it in the options of a session."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ml_intern.configs.errors import UsageError
from ml_intern.evidence.goals import parse_goal
from ml_intern.graph.context import RunOptions

Change = Callable[..., Awaitable[None]]
Save = Callable[[Mapping[str, Any]], Awaitable[None]]


async def change_goal(change: Change, options: RunOptions, text: str, save: Save) -> None:
    """Give the thread a goal, or remove it. `change` changes the options, `save` saves them. Raises UsageError."""
    goal = checked_goal(text, options.verify)
    given = {**options.given, "goal": goal}
    await change(goal=goal, given=given)
    await save(given)


def checked_goal(text: str, verify: str) -> str:
    """Return the text of a goal. Raises UsageError if it is not one, or if nothing is verified."""
    text = text.strip()
    if text and verify == "off":
        raise UsageError("a goal is checked with the evidence of the thread", "use --verify quick or above")
    if text:
        parse_goal(text)
    return text
