"""Hooks: commands of the user around calls, at the end of a turn and for questions. Real commands."""

import json
from pathlib import Path
from typing import Any

import pytest

from ml_intern.configs.layers import load
from ml_intern.graph.operations import UserInput
from tests.session.conftest import Lab, bash, data, turn
from tests.session.wire.conftest import Open, opened  # noqa: F401 a fixture

GO = UserInput("go")
CALL = {"tool_calls": [bash("touch made")]}


def hook(command: str, **more: Any) -> dict[str, Any]:
    return {"command": command, "tools": ["*"], "timeout_s": 60, **more}


async def test_a_hook_gets_the_call_and_its_result(lab: Lab, tmp_path: Path) -> None:
    log = tmp_path / "log"
    hooks = {"before_tool": [hook(f"cat >> {log}")], "after_tool": [hook(f"echo >> {log}; cat >> {log}")]}
    async with lab.session(lab.script(CALL, {"text": "done"}), hooks=hooks) as session:
        events = await turn(session, GO)
    before, after = [json.loads(line) for line in log.read_text().splitlines()]
    assert (before["hook"], before["tool"], before["args"]) == ("before_tool", "bash", {"command": "touch made"})
    assert (before["cwd"], before["thread_id"]) == (str(lab.workspace), session.thread_id)
    assert (after["hook"], after["result"]["ok"], after["id"]) == ("after_tool", True, before["id"])
    ended = data(events, "hook")
    assert [(one["hook"], one["tool"], one["status"]) for one in ended] == [
        ("before_tool", "bash", "ok"),
        ("after_tool", "bash", "ok"),
    ]
    assert min(one["seconds"] for one in ended) > 0


@pytest.mark.parametrize(
    ("command", "status", "reason"),
    [
        ("echo not on Fridays >&2; exit 2", "refused", "not on Fridays"),
        ("exit 3", "failed", "exit code 3"),
        ("sleep 100", "failed", "stopped after 0.2 s"),
        ("cat {made}", "failed", "where the agent can change it"),
    ],
)
async def test_a_call_that_a_hook_refuses_or_cannot_judge_does_not_run(
    lab: Lab, command: str, status: str, reason: str
) -> None:
    (own := lab.workspace / "hook.sh").write_text("exit 0")
    limit = 0.2 if "sleep" in command else 60
    hooks = {"before_tool": [hook(command.format(made=own), timeout_s=limit), hook("touch second")]}
    async with lab.session(lab.script(CALL, {"text": "done"}), hooks=hooks) as session:
        events = await turn(session, GO)
    [output] = data(events, "tool_output")
    assert (output["status"], reason in output["text"]) == ("refused", True)
    [ended] = data(events, "hook")
    assert (ended["status"], reason in ended["text"]) == (status, True)
    assert not (lab.workspace / "made").exists()


async def test_a_hook_for_other_tools_does_not_run_and_a_failure_after_a_call_is_reported(lab: Lab) -> None:
    hooks = {"before_tool": [hook("exit 2", tools=["write", "mcp__*"])], "after_tool": [hook("exit 1")]}
    async with lab.session(lab.script(CALL, {"text": "done"}), hooks=hooks) as session:
        events = await turn(session, GO)
    assert (lab.workspace / "made").exists()
    assert [(one["hook"], one["status"]) for one in data(events, "hook")] == [("after_tool", "failed")]


async def test_the_end_of_a_turn_and_a_question_start_their_hooks(opened: Open, tmp_path: Path) -> None:  # noqa: F811
    log = tmp_path / "log"
    hooks = json.dumps({name: [f"cat >> {log}; echo >> {log}"] for name in ("at_stop", "on_question")})
    async with opened(CALL, approval_mode="ask", assignments=(f"hooks={hooks}",)) as session:
        await session.submit(GO)
        await session.idle()
        await session.submit(UserInput("never mind"))
        await session.idle()
    seen = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(one["hook"], one["event"]["type"]) for one in seen] == [
        ("on_question", "approval_required"),
        ("at_stop", "turn_complete"),
    ]


def test_a_folder_adds_hooks_once_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (user := tmp_path / "user.json").write_text(json.dumps({"hooks": {"at_stop": ["mine"]}}))
    (own := tmp_path / "work" / ".ml-intern").mkdir(parents=True)
    theirs = {"command": "theirs", "tools": ["bash"], "timeout_s": 5}
    (own / "cli_agent_config.json").write_text(json.dumps({"hooks": {"at_stop": [theirs]}}))
    monkeypatch.setenv("ML_INTERN_CLI_CONFIG", str(user))
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "home"))
    names = [[one.command for one in load(own.parent, trust=trust).settings.hooks.at_stop] for trust in (False, True)]
    assert names == [["mine"], ["mine", "theirs"]]
