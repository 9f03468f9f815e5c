"""A model that goes in circles is corrected once, refused once and stopped, whatever it does in between."""

from itertools import cycle, islice
from typing import Any

import pytest
from langchain_core.messages import ToolMessage

from ml_intern.graph.events import Event
from ml_intern.graph.operations import ExecApproval, UserInput
from ml_intern.session.agent import AgentSession
from tests.session.conftest import Lab, bash, data, turn, until

MANY = 120


def reply(name: str) -> dict[str, Any]:
    """A reply with one call, which leaves a line in `log`."""
    return {"tool_calls": [bash(f"echo {name} >> log; echo result of {name}")]}


def looping(names: str, replies: int = MANY) -> list[dict[str, Any]]:
    return [reply(name) for name in islice(cycle(names), replies)]


async def refusals(session: AgentSession) -> list[str]:
    """The first words of the results of calls that did not run."""
    texts = [m.text for m in await session.messages() if isinstance(m, ToolMessage)]
    return [text.split(":")[0] for text in texts if text.startswith(("Not run", "Refused"))]


def ended(events: list[Event]) -> dict[str, Any]:
    return data(events, "turn_complete")[0]


@pytest.mark.parametrize(("names", "run"), [("a", 3), ("ab", 4), ("abc", 6), ("abcd", 8), ("abcde", 10)])
async def test_a_loop_is_corrected_then_refused_then_stopped(lab: Lab, names: str, run: int) -> None:
    async with lab.session(lab.script(*looping(names)), headless=True) as session:
        events = await turn(session, UserInput("go"))
        assert await refusals(session) == ["Not run", "Refused", "Not run"]
    assert (ended(events)["status"], ended(events)["iterations"]) == ("failed", run + 3)
    assert len((lab.workspace / "log").read_text().split()) == run


async def test_other_calls_between_the_corrections_do_not_reset_them(lab: Lab) -> None:
    steps = [step for n in range(20) for step in (*looping("ab", 5), reply(f"other{n}"))]
    async with lab.session(lab.script(*steps), headless=True) as session:
        events = await turn(session, UserInput("go"))
        assert await refusals(session) == ["Not run", "Refused", "Not run"]
    assert ended(events)["status"] == "failed"


async def test_many_new_calls_reset_the_corrections(lab: Lab) -> None:
    steps = [step for n in range(4) for step in (*looping("ab", 5), *(reply(f"step{n}-{m}") for m in range(16)))]
    async with lab.session(lab.script(*steps, {"text": "done"}), headless=True) as session:
        events = await turn(session, UserInput("go"))
        assert await refusals(session) == ["Not run"] * 4
    assert ended(events)["status"] == "done"


async def test_a_sweep_and_a_poll_with_changing_output_run_to_their_end(lab: Lab) -> None:
    poll = {"tool_calls": [bash("echo x >> log; wc -l < log")]}
    sweep = [{"tool_calls": [bash(f"echo trained # --lr {n}")]} for n in range(MANY // 2)]
    async with lab.session(lab.script(*[poll] * (MANY // 2), *sweep, {"text": "done"}), headless=True) as session:
        events = await turn(session, UserInput("go"))
        assert await refusals(session) == []
    assert (ended(events)["status"], ended(events)["iterations"]) == ("done", MANY + 1)


@pytest.mark.parametrize("names", ["a", "ab"])
async def test_a_user_who_continues_the_loop_is_asked_only_after_it_repeats_again(lab: Lab, names: str) -> None:
    async with lab.session(lab.script(*looping(names))) as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        assert "repeating itself" in asked["requests"][0]["description"]
        first = len((lab.workspace / "log").read_text().split())
        yes = ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}})
        assert data(await turn(session, yes), "approval_required")
        assert await refusals(session) == ["Not run", "Refused"] * 2
    assert len((lab.workspace / "log").read_text().split()) == 2 * first


async def test_a_user_who_ends_the_loop_stops_the_turn_and_may_continue_with_a_message(lab: Lab) -> None:
    async with lab.session(lab.script(*looping("a", 6), {"text": "something else"})) as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "reject"}}))
        assert session.end is not None
        assert (ended(events)["status"], session.end.exit_code) == ("stopped", 1)
        events = await turn(session, UserInput("do something else"))
    assert (ended(events)["status"], ended(events)["text"]) == ("done", "something else")


async def test_a_new_message_starts_afresh(lab: Lab) -> None:
    model = lab.script(*looping("a", 3), {"text": "done"}, reply("a"), {"text": "again"})
    async with lab.session(model, headless=True) as session:
        await turn(session, UserInput("go"))
        events = await turn(session, UserInput("once more"))
        assert await refusals(session) == []
    assert ended(events)["text"] == "again"


async def test_the_corrections_survive_the_process(lab: Lab) -> None:
    steps = looping("ab")
    steps[5]["delay"] = 30.0  # the process ends after the correction, before the next reply
    async with lab.session(lab.script(*steps), headless=True) as session:
        await session.submit(UserInput("go"))
        await until(session, "tool_output")
        for _ in range(4):
            await until(session, "tool_output")
        thread = session.thread_id
    steps[5]["delay"] = 0.0
    async with lab.session(lab.script(*steps), headless=True, thread=thread) as session:
        events = await until(session, "turn_complete")
        assert await refusals(session) == ["Not run", "Refused", "Not run"]
    assert (ended(events)["status"], ended(events)["iterations"]) == ("failed", 7)


async def test_the_corrections_survive_compaction(lab: Lab) -> None:
    long = "; ".join(["true"] * 3_000)
    steps = looping("ab", 5)
    steps += [{"tool_calls": [bash(f"echo {n}; {long}")]} for n in range(3)]
    steps += looping("ab", 5)
    steps += [{"tool_calls": [bash(f"echo again {n}; {long}")]} for n in range(3)]
    model = lab.script(*steps, *looping("ab"), {"summary": "Notes."})
    async with lab.session(model, headless=True, compact_threshold=14_000, tool_names=("bash",)) as session:
        events = await turn(session, UserInput("go"))
    results = [one["text"] for one in data(events, "tool_output") if one["text"].startswith(("Not run", "Refused"))]
    assert data(events, "compacted")
    assert [text.split(":")[0] for text in results] == ["Not run", "Refused", "Not run"]
    assert ended(events)["status"] == "failed"


async def test_a_correction_at_the_iteration_limit_makes_no_further_model_call(lab: Lab) -> None:
    async with lab.session(lab.script(*looping("ab")), headless=True, max_iterations=5) as session:
        events = await turn(session, UserInput("go"))
        assert await refusals(session) == ["Not run"]
    assert (ended(events)["status"], ended(events)["iterations"]) == ("limit", 5)
