"""Rewinding in a fork: inherited turns are listed, and a copy that ends before one can be continued."""

from ml_intern.graph.operations import Fork, New, Resume, UserInput
from ml_intern.terminal.slash.inherited import operation_before, rewind_turns
from tests.session.conftest import Lab, turn


async def test_a_fork_of_a_fork_lists_all_turns_and_can_continue_before_each(lab: Lab) -> None:
    model = lab.script(*({"text": f"answer {number}"} for number in range(8)))
    async with lab.session(model) as session:
        first = session.thread_id
        for text in ("one", "two", "three"):
            await turn(session, UserInput(text))
        await turn(session, Fork(2), "resumed")
        second = session.thread_id
        await turn(session, UserInput("four"))
        await turn(session, Fork(), "resumed")
        await turn(session, UserInput("five"))
        turns = await rewind_turns(session)
        assert [(one.number, one.text, one.thread) for one in turns] == [
            (1, "one", first), (2, "two", first), (3, "four", second), (4, "five", ""),
        ]  # fmt: skip
        assert await operation_before(session, turns, turns[0]) == New()
        before = await operation_before(session, turns, turns[2])
        assert isinstance(before, Resume)
        await turn(session, before, "resumed")
        texts = [message.text for message in await session.history() if message.role == "user"]
        assert texts == ["one", "two"]
        assert [one.text for one in await rewind_turns(session)] == ["one", "two"]


async def test_a_deleted_parent_ends_the_list(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "a"}, {"text": "b"})) as session:
        first = session.thread_id
        await turn(session, UserInput("one"))
        await turn(session, Fork(), "resumed")
        await turn(session, UserInput("two"))
        await session.all_threads().delete(first)
        assert [one.text for one in await rewind_turns(session)] == ["two"]
