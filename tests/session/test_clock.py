"""A clock that was set back between two runs: the thread goes on where it was."""

import time

import pytest
from langgraph.checkpoint.base import id as ids

from ml_intern.graph.operations import Redo, Undo, UserInput
from tests.session.conftest import Lab, turn

DAY_NS = 86_400 * 10**9


async def test_a_thread_written_in_the_future_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_last_v6_timestamp", None)  # restored at the end: later tests get ids of today
    model = lab.script(*({"text": f"answer {number}"} for number in range(4)))
    now = time.time_ns
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time_ns", lambda: now() + DAY_NS)
        async with lab.session(model) as session:
            await turn(session, UserInput("one"))
            await turn(session, UserInput("two"))
            thread = session.thread_id
    for message in ("three", "four"):
        monkeypatch.setattr(ids, "_last_v6_timestamp", None)  # as in a new process
        async with lab.session(model, thread=thread) as session:
            await turn(session, UserInput(message))
            assert [m.text for m in await session.messages() if m.type == "human"][-1] == message
    monkeypatch.setattr(ids, "_last_v6_timestamp", None)
    async with lab.session(model, thread=thread) as session:
        for _ in range(3):
            await turn(session, Undo())
        assert [m.text for m in await session.messages()] == ["one", "answer 0"]
        await turn(session, Redo())
        assert [m.text for m in await session.messages() if m.type == "human"] == ["one", "two"]
