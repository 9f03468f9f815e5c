"""Nothing is spent beyond the cap: a request is reserved before it is sent, and warned of before it is too late."""

import asyncio
from pathlib import Path

import pytest

from ml_intern.configs.errors import LimitReached
from ml_intern.graph.operations import Compact, ExecApproval, UserInput
from ml_intern.store.ledger import CostReservation
from ml_intern.store.store import Store
from tests.session.conftest import Lab, bash, data, turn, until


def costly(lab: Lab, calls: int, cost: float) -> str:
    paid = {"usage": {"input_tokens": 1, "cost_usd": cost}}
    return lab.script(*({"tool_calls": [bash(f"echo {n} >> log")], **paid} for n in range(calls)), {"text": "end"})


async def test_unattended_a_used_up_budget_ends_the_turn_after_its_tools(lab: Lab) -> None:
    async with lab.session(costly(lab, 9, 1.0), headless=True, max_budget_usd=3.0) as session:
        events = await turn(session, UserInput("go"))
        assert session.end is not None
        assert session.end.exit_code == 124
        assert (await session.totals()).cost_usd == 3.0
    [end] = data(events, "turn_complete")
    assert (end["status"], "(raise it with --max-budget-usd" in end["text"]) == ("limit", True)
    assert (lab.workspace / "log").read_text() == "0\n1\n2\n"


async def test_half_and_four_fifths_are_said_once_each(lab: Lab) -> None:
    async with lab.session(costly(lab, 9, 1.0), headless=True, max_budget_usd=10.0) as session:
        events = await turn(session, UserInput("go"))
    assert [one["spent_usd"] for one in data(events, "budget")] == [5.0, 8.0]


async def test_a_person_is_asked_and_a_yes_doubles_the_cap_for_good(lab: Lab) -> None:
    async with lab.session(costly(lab, 5, 1.0), max_budget_usd=2.0) as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        assert "$2.00 spent" in asked["requests"][0]["description"]
        again = ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}})
        [asked] = data(await turn(session, again), "approval_required")
        assert "$4.00 spent" in asked["requests"][0]["description"]
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "reject"}}))
    assert data(events, "turn_complete")[0]["status"] == "limit"
    assert (lab.workspace / "log").read_text() == "0\n1\n2\n"


async def test_after_a_yes_the_larger_cap_is_warned_of_again(lab: Lab) -> None:
    async with lab.session(costly(lab, 6, 1.0), max_budget_usd=2.0) as session:
        events = await turn(session, UserInput("go"))
        assert [one["spent_usd"] for one in data(events, "budget")] == [1.0, 2.0]
        [asked] = data(events, "approval_required")
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}))
    assert [(one["spent_usd"], one["cap_usd"]) for one in data(events, "budget")] == [(3.0, 4.0), (4.0, 4.0)]


async def test_turns_without_calls_are_warned_of_and_asked_about_too(lab: Lab) -> None:
    model = lab.script(*({"text": f"reply {n}", "usage": {"cost_usd": 1.0}} for n in range(6)))
    async with lab.session(model, max_budget_usd=2.0) as session:
        said = [await turn(session, UserInput("hello")) for _ in range(2)]
        assert [[one["spent_usd"] for one in data(events, "budget")] for events in said] == [[1.0], [2.0]]
        [asked] = data(await turn(session, UserInput("hello"), "approval_required"), "approval_required")
        assert "Continue with $2.00 more?" in asked["requests"][0]["description"]
        assert (await session.totals()).cost_usd == 2.0
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}))
        assert data(events, "turn_complete")[0]["text"] == "reply 2"
        await turn(session, UserInput("hello"))
        [asked] = data(await turn(session, UserInput("hello"), "approval_required"), "approval_required")
        assert "Continue with $4.00 more?" in asked["requests"][0]["description"]
        thread = session.thread_id
    async with lab.session(model, max_budget_usd=2.0, thread=thread) as session:
        [asked] = data(await until(session, "approval_required"), "approval_required")
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "reject"}}))
        assert data(events, "turn_complete")[0]["status"] == "limit"
        again = data(await turn(session, UserInput("hello"), "approval_required"), "approval_required")
        assert "Continue with $4.00 more?" in again[0]["requests"][0]["description"]
        assert (await session.totals()).cost_usd == 4.0


async def test_a_used_up_budget_pays_for_no_summary(lab: Lab) -> None:
    steps = [{"text": "long " * 2_000, "usage": {"cost_usd": 1.0}} for _ in range(5)]
    model = lab.script(*steps, {"summary": "Notes."})
    async with lab.session(model, headless=True, max_budget_usd=4.0, tool_names=("bash",)) as session:
        for _ in range(4):
            await turn(session, UserInput("go"))
        thread = session.thread_id
    async with lab.session(model, thread=thread, headless=True, max_budget_usd=3.0, tool_names=("bash",)) as session:
        events = await turn(session, Compact(), "turn_complete")
        assert (await session.totals()).cost_usd == 4.0
    assert [one["source"] for one in data(events, "usage")] == []


async def test_requests_side_by_side_never_reserve_more_than_the_cap(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:

        async def one(number: int) -> bool:
            try:
                await store.ledger.reserve(f"child{number}", "root", "research", "m", CostReservation(0.4, 1.0))
            except LimitReached:
                return False
            return True

        assert sum(await asyncio.gather(*(one(number) for number in range(10)))) == 2


async def test_requests_of_unknown_price_count_against_a_number_of_calls(tmp_path: Path) -> None:
    async with await Store.open(tmp_path) as store:
        for _ in range(5):
            await store.ledger.reserve("t", "t", "main", "m", CostReservation(None, 0.1))
        with pytest.raises(LimitReached, match="unknown price"):
            await store.ledger.reserve("t", "t", "main", "m", CostReservation(None, 0.1))
