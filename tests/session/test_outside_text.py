"""Outside text that comes along with what the user does is remembered, and what it leads to is asked about."""

import pytest

from ml_intern.graph.operations import RunCommand, UserInput
from ml_intern.session.turns.turns import Turns
from tests.session.conftest import Lab, bash, turn


async def test_outside_text_that_comes_with_a_message_or_a_command_by_hand_is_remembered(lab: Lab) -> None:
    (lab.workspace / "vendor/.git").mkdir(parents=True)
    (lab.workspace / "vendor/page").write_text("words")
    async with lab.session(lab.script({"text": "ok"}, {"text": "ok"})) as session:
        await turn(session, UserInput("sum up\n\n<stdin>\nwords\n</stdin>", typed="sum up", sources=("a pipe",)))
        await turn(session, RunCommand("cat vendor/page"), "tool_output")
        await turn(session, UserInput("go on"))
        state = (await Turns(session._runner.app, session.services, session.thread_id).snapshot()).values
    assert state["taint"] == ["a pipe", "the repository vendor (vendor/page)"]


@pytest.mark.parametrize("name", ["read", "bash"])
async def test_the_sources_of_all_calls_of_a_reply_are_remembered(lab: Lab, name: str) -> None:
    for vendor in ("one", "two"):
        (lab.workspace / vendor / ".git").mkdir(parents=True)
        (lab.workspace / vendor / "page").write_text("words")
    pages = ["one/page", "two/page"]
    calls = [bash(f"cat {page}") if name == "bash" else {"name": "read", "args": {"path": page}} for page in pages]
    async with lab.session(lab.script({"tool_calls": calls}, {"text": "ok"})) as session:
        await turn(session, UserInput("look at both", sources=("a pipe",)))
        state = (await Turns(session._runner.app, session.services, session.thread_id).snapshot()).values
    first, *others = state["taint"]
    assert (first, sorted(others)) == ("a pipe", [f"the repository {page[:3]} ({page})" for page in pages])


@pytest.mark.parametrize(("asked", "refused"), [("look at the page", True), ("look, then push it", False)])
async def test_after_it_the_own_remote_has_to_be_named(lab: Lab, asked: str, *, refused: bool) -> None:
    said = UserInput(f"{asked}\n\n<stdin>\nx\n</stdin>", typed=asked, sources=("a pipe",))
    model = lab.script({"tool_calls": [bash("git push origin main")]}, {"text": "end"})
    async with lab.session(model) as session:
        events = await turn(session, said)
    text = next(event.data["text"] for event in events if event.type == "tool_output")
    assert ("the user did not name" in text) is refused
