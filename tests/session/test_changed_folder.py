"""A folder that becomes another while an answer is waited for: what was asked about is what runs, or nothing does."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_intern.graph.operations import ExecApproval, UserInput
from tests.session.conftest import Lab, bash, data, turn

WRITE = {"name": "write", "args": {"path": "out/made.txt", "content": "x"}}
TOUCH = bash("touch made.txt")


def folder_elsewhere(workspace: Path) -> None:
    (workspace / "out").rename(workspace / "was")
    (workspace / "out").symlink_to(workspace.parent / "elsewhere")


def file_elsewhere(workspace: Path) -> None:
    (workspace / "out/made.txt").symlink_to(workspace.parent / "elsewhere/made.txt")


def workspace_elsewhere(workspace: Path) -> None:
    workspace.rename(workspace.with_name("moved"))
    workspace.symlink_to(workspace.parent / "elsewhere")


@pytest.mark.parametrize(
    ("change", "call", "said"),
    [
        (folder_elsewhere, WRITE, "outside the workspace"),
        (file_elsewhere, WRITE, "outside the workspace"),
        (workspace_elsewhere, WRITE, "differs from the one the user was asked about"),
        (workspace_elsewhere, TOUCH, "differs from the one the user was asked about"),
        (shutil.rmtree, TOUCH, "there is no folder"),
    ],
)
async def test_a_yes_is_for_the_place_it_was_asked_about(
    lab: Lab, change: Callable[[Path], None], call: dict[str, Any], said: str
) -> None:
    elsewhere = lab.workspace.parent / "elsewhere"
    elsewhere.mkdir()
    (lab.workspace / "out").mkdir()
    model = lab.script({"tool_calls": [call]}, {"text": "went on", "expect": said})
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        change(lab.workspace)
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}))
    assert data(events, "turn_complete")[0]["text"] == "went on"
    assert list(elsewhere.iterdir()) == []
