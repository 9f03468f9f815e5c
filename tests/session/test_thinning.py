"""A thinned thread: smaller, and every undo, redo, resume and fork leads where it led before."""

from contextlib import suppress
from typing import Any

from ml_intern.configs.errors import DiskFull
from ml_intern.graph.operations import Compact, ExecApproval, Fork, Redo, Undo, UserInput
from ml_intern.session.agent import AgentSession
from ml_intern.session.runner import Runner
from ml_intern.session.turns.points import turn_points
from ml_intern.session.turns.thinning import plan_thinning, thin
from ml_intern.session.turns.turns import Turns
from tests.session.conftest import Lab, bash, data, turn, until

COMPACTING: dict[str, Any] = {"compact_threshold": 7_000, "tool_names": ("bash",)}


def noisy(lab: Lab, calls: int) -> str:
    """A script with many calls whose outputs do not repeat, then short answers."""
    steps = [{"tool_calls": [bash(f"seq {n * 10_000} {n * 10_000 + 500}")]} for n in range(1, calls + 1)]
    answers = [{"text": f"answer {number}"} for number in range(12)]
    return lab.script(*steps, *answers, {"summary": "Notes: numbers were printed."})


async def turns_of(session: AgentSession) -> Turns:
    return Turns((await Runner.create(session.services)).app, session.services, session.thread_id)


async def reachable(turns: Turns) -> dict[str, Any]:
    """The whole state at every checkpoint that undo and redo can go to, by the checkpoint's id."""
    row = await turns.services.store.threads.get(turns.thread_id)
    assert row is not None
    saver = await turns.services.store.saver()
    points = [point for tip in ("", *row.redo) for point in await turn_points(saver, turns.thread_id, tip)]
    return {point.checkpoint: (await turns.snapshot(point.checkpoint)).values for point in points}


async def thinned(session: AgentSession) -> tuple[int, int]:
    """Thin the thread of the session; the number of its checkpoints before and after."""
    turns = await turns_of(session)
    row = await session.services.store.threads.get(session.thread_id)
    assert row is not None
    plan = await plan_thinning(turns, row.redo)
    await thin(turns, plan)
    return len(plan.checkpoint_refs), len(await session.services.store.checkpoints.all_of(session.thread_id))


async def test_every_state_that_undo_and_redo_reach_is_the_same_after_as_before(lab: Lab) -> None:
    async with lab.session(noisy(lab, 30), **COMPACTING) as session:
        await turn(session, UserInput("print many numbers"))
        for message in ("two", "three", "four", "five"):
            await turn(session, UserInput(message))
        await turn(session, Undo(2))
        await turn(session, UserInput("other four"))
        await turn(session, UserInput("other five"))
        await turn(session, Undo())
        turns = await turns_of(session)
        before = await reachable(turns)
        many, few = await thinned(session)
        assert few < many / 2
        assert await reachable(turns) == before
        assert len(before) == 6


async def test_a_thinned_thread_goes_on_and_is_undone_redone_and_forked(lab: Lab) -> None:
    model = noisy(lab, 20)
    async with lab.session(model, **COMPACTING) as session:
        await turn(session, UserInput("numbers"))
        await turn(session, UserInput("two"))
        await turn(session, Undo())
        await thinned(session)
        thread = session.thread_id
    async with lab.session(model, thread=thread, **COMPACTING) as session:
        await until(session, "resumed")
        await turn(session, Redo())
        assert [m.text for m in await session.messages()][-2] == "two"
        await turn(session, UserInput("three"))
        await thinned(session)
        await turn(session, Fork(turn=2), "resumed")
        assert [m.text for m in await session.messages()][-2] == "two"
    async with lab.session(model, thread=thread) as session:
        await turn(session, Undo(9))
        assert await session.messages() == []


async def test_redo_knows_its_turn_again_when_all_before_it_went(lab: Lab) -> None:
    async with lab.session(noisy(lab, 4)) as session:
        await turn(session, UserInput("numbers"))
        await turn(session, Compact(), "turn_complete", "error")
        await turn(session, UserInput("two"))
        await turn(session, Undo())
        many, few = await thinned(session)
        assert few < many
        [again] = data(await turn(session, Redo()), "undo_complete")
        assert (again["direction"], again["text"]) == ("redo", "two")


async def test_branches_that_nothing_leads_to_are_gone_and_the_line_is_whole(lab: Lab) -> None:
    async with lab.session(lab.script(*({"text": text} for text in "ABCDEFG"))) as session:
        for message in ("one", "two"):
            await turn(session, UserInput(message))
        for message in ("three", "other", "third way"):
            await turn(session, UserInput(message))
            await turn(session, Undo())
        await turn(session, UserInput("at last"))
        many, few = await thinned(session)
        assert few < many
        line = await session.services.store.checkpoints.lineage(session.thread_id)
        assert len(line) == few
        ends = await turn_points(await session.services.store.saver(), session.thread_id)
        assert {point.checkpoint for point in ends} <= {link.id for link in line}
        assert [m.text for m in await session.messages()][::2] == ["one", "two", "at last"]


async def test_an_approval_that_waits_is_asked_again_after_thinning(lab: Lab) -> None:
    model = lab.script({"text": "A"}, {"tool_calls": [bash("echo x >> log")]}, {"text": "done"})
    async with lab.session(model, approval_mode="ask") as session:
        await turn(session, UserInput("one"))
        await turn(session, Undo())
        await turn(session, UserInput("two"))
        [asked] = data(await turn(session, UserInput("three")), "approval_required")
        await thinned(session)
        thread = session.thread_id
    async with lab.session(model, thread=thread, approval_mode="ask") as session:
        [again] = data(await until(session, "approval_required"), "approval_required")
        assert again["requests"] == asked["requests"]
        await turn(session, ExecApproval({again["requests"][0]["id"]: {"type": "approve"}}))
    assert (lab.workspace / "log").read_text() == "x\n"


async def test_thinning_twice_finds_nothing_more(lab: Lab) -> None:
    async with lab.session(noisy(lab, 20), **COMPACTING) as session:
        await turn(session, UserInput("numbers"))
        await turn(session, Compact())
        await turn(session, UserInput("two"))
        await thinned(session)
        before = await reachable(await turns_of(session))
        many, few = await thinned(session)
        assert many == few
        assert await reachable(await turns_of(session)) == before


async def test_a_full_disk_while_thinning_leaves_everything_reachable(
    lab: Lab,
) -> None:
    async with lab.session(noisy(lab, 20), **COMPACTING) as session:
        await turn(session, UserInput("numbers"))
        await turn(session, UserInput("two"))
        turns = await turns_of(session)
        before = await reachable(turns)
        plan = await plan_thinning(turns, ())
        database = session.services.store.database
        pages = await database.read(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
        await database.read(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())
        with suppress(DiskFull):
            while True:
                await session.services.store.threads.create(title="x" * 100)
        with suppress(DiskFull):
            await thin(turns, plan)
        assert await reachable(turns) == before
