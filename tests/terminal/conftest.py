"""A session on a terminal of its own, with a scripted model."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.terminal.driver import Terminal


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Start a session whose model plays these steps; without steps, the script of the session before."""
    opened: list[Terminal] = []
    (tmp_path / "work").mkdir()

    def start(*steps: dict[str, Any], options: tuple[str, ...] = (), **environment: str) -> Terminal:
        script = tmp_path / "script.yaml"
        if steps:
            script.write_text(yaml.safe_dump(list(steps)))
        argv = ["--no-sandbox", "-m", f"scripted:{script}", *options]
        opened.append(Terminal(argv, tmp_path / "work", tmp_path / "home", **environment))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


@pytest.fixture
def start_unasked(start: Callable[..., Terminal]) -> Callable[..., Terminal]:
    """Start a session that asks about no call."""
    return partial(start, options=("--yolo",))


def bash(command: str) -> dict[str, Any]:
    """A step that runs a command."""
    return {"tool_calls": [{"name": "bash", "args": {"command": command}}]}
