"""The n-th statement fails, for every n: one clear line, exit code 75, and a thread that goes on."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from ml_intern.configs.errors import MLInternError, TemporaryError
from ml_intern.graph.operations import ExecApproval, UserInput
from ml_intern.session.agent import AgentSession
from tests.faults.broken_sqlite import FAULTS, FailAt, broken_sqlite
from tests.faults.counts import EACH, EVERY_FAULT, PROPERTY, SOAK, Report
from tests.faults.invariants import broken_in_session
from tests.faults.lab import FaultLab, mark_effect
from tests.faults.lives import go_on, live, whole_life
from tests.faults.scenarios import SCENARIOS, Scenario, short
from tests.faults.user import Stopped, conversation, users

SHORT = short(mark_effect)
THREADS = [SHORT, *(make(mark_effect) for make in SCENARIOS)] if SOAK else [SHORT]
FOREVER = 10**9


@pytest.mark.parametrize("scenario", THREADS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_statement_fails_once(folder: Path, scenario: Scenario, fault: str, record_property: Report) -> None:
    """Every statement fails with each fault; where that takes too long, one of some with one of the faults in turn."""
    place = list(FAULTS).index(fault)
    steps = range(1, FOREVER) if EVERY_FAULT else range(1 + place * EACH, FOREVER, len(FAULTS) * EACH)
    ends = play(folder, scenario, fault, times=1, steps=steps)
    record_property(PROPERTY, f"{ends.total()} statements of {scenario.name} failed with {fault}: {said(ends)}")


@pytest.mark.parametrize("scenario", THREADS, ids=lambda scenario: scenario.name)
def test_a_disk_stays_full_from_a_statement_on(folder: Path, scenario: Scenario, record_property: Report) -> None:
    ends = play(folder, scenario, "FULL", times=FOREVER, steps=range(1, FOREVER, 1 if SOAK else 5 * EACH))
    assert ends["through"] == 0
    record_property(PROPERTY, f"{ends.total()} times the disk stayed full in {scenario.name}: {said(ends)}")


def test_a_session_goes_on_after_a_fault(folder: Path, record_property: Report) -> None:
    ends, statement = Counter[str](), 0
    while ends["through"] == 0:
        statement += 1 if SOAK else 3 * EACH
        lab, plan = SHORT.lab(folder / str(statement)), FailAt(statement, "FULL")
        with broken_sqlite(plan):
            end = asyncio.run(stay(lab))
        ends[end] += 1
        if end != "on opening":
            assert broken_in_session(lab) == [], f"statement {statement}, {plan.played!r}, in {lab.root}"
    record_property(PROPERTY, f"{ends.total()} sessions with a fault: {said(ends)}")


async def stay(lab: FaultLab) -> str:
    """A user who meets a fault and says something new in the same session."""
    try:
        async with lab.session(None, **SHORT.choices) as session:
            end, texts = await follow(session, UserInput("one")), ["one"]
            if end == "failed":
                assert await follow(session, UserInput("go on")) == "done"
                texts = ["one", "go on"]
            history = await session.messages()
            lab.record.add(final=conversation(history), thread=session.thread_id)
            assert [*users(history)] == texts
    except MLInternError:
        return "on opening"
    return "through" if end == "done" else "in the session"


async def follow(session: AgentSession, operation: UserInput) -> str:
    """The status of the last turn at its end; what it asks for is approved. A message that failed to start waits."""
    await session.submit(operation)
    async for event in session.events():
        if event.type == "approval_required":
            await session.submit(ExecApproval({r["id"]: {"type": "approve"} for r in event.data["requests"]}))
        if event.type == "turn_complete" and (event.data["status"] == "failed" or not await session.queue()):
            return str(event.data["status"])
    raise AssertionError("the session ended")


def play(folder: Path, scenario: Scenario, fault: str, *, times: int, steps: range) -> Counter[str]:
    """How lives with a fault at these statements end; each must be followed by one that goes through."""
    whole, ends = whole_life(folder / "whole", scenario), Counter[str]()
    for statement in range(steps.start, whole.statements + 1, steps.step):
        lab, plan = scenario.lab(folder / str(statement), str(statement)), FailAt(statement, fault, times)
        try:
            ends[one_life(lab, scenario, plan)] += 1
            assert go_on(lab, scenario, whole) == []
        except BaseException as error:
            error.add_note(f"statement {statement}, {plan.played!r}, in {lab.root}")
            raise
    return ends


def one_life(lab: FaultLab, scenario: Scenario, plan: FailAt) -> str:
    """A life with a fault ends in one line with a remedy and exit code 75, or goes through all the same.

    Numbers of events that were not used are released when the session has ended; if that fails, nothing is lost.
    """
    try:
        live(lab, scenario, plan)
    except Stopped:
        error = lab.record.newest("error")
        line, remedy, code, end = error["message"], error["remedy"], error["exit_code"], "in the session"
    except MLInternError as error:
        line, remedy, code, end = error.message, error.remedy, error.exit_code, "on opening"
    else:
        return "after the end" if any("event_numbers" in sql for sql in plan.transaction) else "through"
    assert (code, "\n" in line) == (TemporaryError.exit_code, False), line
    assert remedy
    assert "internal error" not in line
    return end


def said(ends: Counter[str]) -> str:
    return ", ".join(f"{number} {end}" for end, number in sorted(ends.items()))
