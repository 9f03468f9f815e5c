"""What belongs to one open thread stays with it; what belongs to the process does not change."""

from dataclasses import FrozenInstanceError

import pytest

from ml_intern.graph.operations import New, Resume, SetModel, UserInput
from tests.session.conftest import Lab, data, turn, until
from tests.session.test_children import ASK, lab_with_ask


async def test_services_are_frozen(lab: Lab) -> None:
    async with lab.session(lab.script()) as session:
        with pytest.raises(FrozenInstanceError):
            session.services.notifier = None  # type: ignore[misc]


async def test_an_export_leaves_sub_agents_working(lab: Lab) -> None:
    child = lab.script({"text": "the first"}, {"text": "the second"})
    main = lab.script({"tool_calls": [ASK]}, {"text": "one"}, {"tool_calls": [ASK]}, {"text": "two"})
    lab = lab_with_ask(lab)
    async with lab.session(main, research_model=child) as session:
        await turn(session, UserInput("go"))
        scope = session.services.scopes[session.thread_id]
        assert (await session.conversation()).messages[0].text == "go"
        assert session.services.scopes[session.thread_id] is scope
        events = await turn(session, UserInput("again"))
    assert data(events, "turn_complete")[0]["text"] == "two"
    assert [event["ok"] for event in data(events, "tool_output")] == [True]


async def test_two_threads_of_a_session_do_not_share_scopes_or_what_was_read(lab: Lab) -> None:
    (lab.workspace / "a").write_text("one\n")
    read, write = {"name": "read", "args": {"path": "a"}}, {"name": "write", "args": {"path": "a", "content": "two\n"}}
    writing = lab.script({"tool_calls": [write]}, {"text": "end"})
    async with lab.session(lab.script({"tool_calls": [read]}, {"text": "read"})) as session:
        await turn(session, UserInput("read it"))
        first = session.thread_id
        await turn(session, New(), "ready")
        await turn(session, SetModel(writing), "ready")
        events = await turn(session, UserInput("write it"))
        assert first not in session.services.scopes
        second = session.thread_id
        await session.submit(Resume(first))
        await until(session, "resumed")
        assert second not in session.services.scopes
    assert not data(events, "tool_output")[0]["ok"]
    assert (lab.workspace / "a").read_text() == "one\n"


async def test_the_scope_of_a_sub_agent_ends_with_it(lab: Lab) -> None:
    lab = lab_with_ask(lab)
    child = lab.script({"text": "nothing"})
    async with lab.session(lab.script({"tool_calls": [ASK]}, {"text": "end"}), research_model=child) as session:
        await turn(session, UserInput("go"))
        rows = await session.services.store.threads.list(children=True)
        assert [row.id in session.services.scopes for row in rows if row.child] == [False]
