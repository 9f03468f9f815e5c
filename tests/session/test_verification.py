"""The loop checks an answer against what ran: which answers, how often, and what a contradiction leads to."""

from typing import Any

import pytest

from ml_intern.graph.operations import RunCommand, UserInput
from tests.session.conftest import Lab, bash, data, turn

SCORE = "python3 -c 'print(\"accuracy\", sum([1] * 2328) / 2500)'"
MEASURE = {"tool_calls": [bash(f"{SCORE} | tee score.txt; cat notes.txt")]}
PLAN = {"tool_calls": [{"name": "plan", "args": {"steps": [{"text": "look", "status": "done"}]}}]}
READ = {"tool_calls": [{"name": "read", "args": {"path": "notes.txt"}}, {"name": "raed", "args": {}}]}


async def played(lab: Lab, *steps: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the verdicts of a turn, and how it ended."""
    (lab.workspace / "notes.txt").write_text("nothing\n")
    async with lab.session(lab.script(*steps), headless=True, verify="quick") as session:
        events = await turn(session, UserInput("go"))
    [end] = data(events, "turn_complete")
    return [one["status"] for one in data(events, "evidence")], end


async def test_an_answer_after_planning_and_reading_that_claims_nothing_is_not_checked(lab: Lab) -> None:
    verdicts, end = await played(lab, PLAN, READ, {"text": "The notes are about nothing."})
    assert (verdicts, end["status"]) == ([], "done")


async def test_an_answer_is_checked_once_and_a_contradicted_one_corrected_once(lab: Lab) -> None:
    good, bad = {"text": "The accuracy is 0.93."}, {"text": "The accuracy is 0.99."}
    assert (await played(lab, MEASURE, good))[0] == ["held"]
    verdicts, end = await played(lab, MEASURE, bad, good)
    assert (verdicts, end["status"], end["text"]) == (["contradicted", "held"], "done", good["text"])
    verdicts, end = await played(lab, MEASURE, bad, bad)
    assert (verdicts, end["status"]) == (["contradicted"] * 2, "contradicted")


async def test_the_evidence_of_a_command_names_the_files_that_it_opened_and_wrote(lab: Lab) -> None:
    (lab.workspace / "notes.txt").write_text("nothing\n")
    async with lab.session(lab.script(MEASURE, {"text": "done"}), verify="quick") as session:
        await turn(session, UserInput("go"))
        [call] = await session.services.store.evidence.list(session.thread_id, "call")
    assert (call.body["tool"], call.body["ok"]) == ("bash", True)
    assert str(lab.workspace / "score.txt") in call.body["written"]
    assert str(lab.workspace / "notes.txt") in call.body["opened"]


async def test_a_file_that_must_not_change_cannot_be_written_and_others_can(lab: Lab) -> None:
    (lab.workspace / "eval.py").write_text("print(1)\n")
    writes = [{"name": "write", "args": {"path": name, "content": "print(2)\n"}} for name in ("eval.py", "other.py")]
    model = lab.script({"tool_calls": writes[:1]}, {"tool_calls": writes[1:]}, {"text": "ready"})
    async with lab.session(model, headless=True, verify="quick") as session:
        events = await turn(session, UserInput("Do not change eval.py."))
    assert [one["status"] for one in data(events, "tool_output")] == ["refused", "done"]
    assert (lab.workspace / "eval.py").read_text() == "print(1)\n"
    assert (lab.workspace / "other.py").read_text() == "print(2)\n"


async def test_an_answer_that_claims_nothing_is_checked_after_a_change(lab: Lab) -> None:
    changed = {"tool_calls": [{"name": "write", "args": {"path": "new.txt", "content": "x\n"}}]}
    assert (await played(lab, changed, {"text": "Ready."}))[0] == ["held"]


@pytest.mark.parametrize("before", ["", "≈"])
async def test_a_number_that_the_agent_typed_is_not_a_measurement(lab: Lab, before: str) -> None:
    typed = {"tool_calls": [bash(f"echo 'accuracy {before}0.93125'")]}
    async with lab.session(lab.script(typed, {"text": "The accuracy is 0.93125."}), verify="quick") as session:
        events = await turn(session, UserInput("go"))
    [claim] = data(events, "evidence")[0]["claims"]
    assert (claim["state"], claim["evidence"].rpartition("; ")[2]) == ("unsupported", "the agent wrote it")


async def test_a_failed_command_of_the_user_is_not_held_against_an_answer(lab: Lab) -> None:
    script = lab.workspace / "train.py"
    script.write_text("print('accuracy', sum([1] * 2328) / 2500)\nraise SystemExit(3)\n")
    change = {"name": "write", "args": {"path": "notes.txt", "content": "read it\n"}}
    model = lab.script({"tool_calls": [change]}, {"text": "I wrote notes.txt. The work is finished."})
    async with lab.session(model, headless=True, verify="quick") as session:
        await turn(session, RunCommand("python3 train.py"), "tool_output")
        events = await turn(session, UserInput("write notes"))
    assert [one["status"] for one in data(events, "evidence")] == ["held"]
