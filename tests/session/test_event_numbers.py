"""An event's number belongs to its thread: none is given to a second event, also after a crash."""

from collections.abc import Sequence

from ml_intern.graph.events import Event
from ml_intern.graph.operations import New, Undo, UserInput
from ml_intern.session.event_queue import EventQueue
from ml_intern.store.store import Store
from tests.session.conftest import Lab, turn


def numbers(events: Sequence[Event]) -> list[int]:
    return [event.seq for event in events]


async def test_numbers_continue_in_the_next_session(lab: Lab) -> None:
    model = lab.script({"text": "A"}, {"text": "B"})
    async with lab.session(model) as session:
        before = await turn(session, UserInput("one"))
        before += await turn(session, Undo())
    async with lab.session(model, thread=session.thread_id) as session:
        after = await turn(session, UserInput("two"))
    assert numbers(before) == list(range(1, len(before) + 1))
    assert len(before) < min(numbers(after)) <= len(before) + 3  # the result and the shutdown are between


async def test_a_number_is_not_given_again_after_a_crash(lab: Lab) -> None:
    model = lab.script({"text": "A"}, {"text": "B"})
    async with lab.session(model) as session:
        seen = await turn(session, UserInput("one"))
        thread = session.thread_id
        database = session.services.store.database
        copy = lab.home.with_name("copy")
        copy.mkdir()
        await database.read(lambda connection: connection.execute("VACUUM INTO ?", (str(copy / "threads.db"),)))
    async with Lab(copy, lab.workspace).session(model, thread=thread) as session:
        again = await turn(session, UserInput("two"))
    assert min(numbers(again)) > max(numbers(seen))


async def test_a_process_that_lost_its_thread_does_not_take_numbers_back(lab: Lab) -> None:
    """It was stopped, another process has opened the thread, and it ends after that."""
    async with await Store.open(lab.home) as store:
        stopped, follower = EventQueue(), EventQueue()
        store.event_numbers.reserve("t", 5)
        await store.event_numbers.save()
        for queue in (stopped, follower):
            await queue.open(store.event_numbers, "t")
        reserved = await store.event_numbers.last("t")
        await stopped.return_numbers()
        assert await store.event_numbers.last("t") == reserved
        await follower.return_numbers()
        assert await store.event_numbers.last("t") < reserved


async def test_each_thread_of_a_session_has_numbers_of_its_own(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "A"}, {"text": "B"})) as session:
        await turn(session, UserInput("one"))
        first = session.thread_id
        assert numbers(await turn(session, New(), "ready"))[-1] == 1
        await turn(session, UserInput("two"))
        second = session.thread_id
    async with await Store.open(lab.home) as store:
        assert min([await store.event_numbers.last(thread) for thread in (first, second)]) > 1


async def test_a_session_without_a_message_reserves_nothing(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "A"})) as session:
        assert session.end is None
    async with await Store.open(lab.home) as store:
        assert await store.event_numbers.last(session.thread_id) == 0


async def test_a_deleted_thread_leaves_no_number(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "A"})) as session:
        await turn(session, UserInput("one"))
    async with await Store.open(lab.home) as store:
        await store.delete(session.thread_id)
        assert await store.event_numbers.last(session.thread_id) == 0
