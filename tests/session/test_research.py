"""The research tool: a sub-agent of its own that reads, keeps to its share, and cites what it read."""

import asyncio
from typing import Any

import pytest

from ml_intern.execution.call import ToolResult
from ml_intern.execution.provenance import untrusted_result
from ml_intern.execution.tool import SubagentQuota, ToolArgs, ToolContext, ToolSpec, tool
from ml_intern.graph.operations import UserInput
from ml_intern.session.turns.turns import Turns
from ml_intern.tools.registry import create_builtin_tools
from ml_intern.tools.research.report import NO_SOURCE
from ml_intern.tools.research.research import ResearchArgs
from tests.session.conftest import Lab, data, turn

ASK = {"name": "research", "args": {"question": "What do the notes say about the rate?", "depth": "quick"}}
READ = {"name": "read", "args": {"path": "notes.md"}}
CITED = "- The rate in the notes is 2e-4, as measured [notes.md:1]"
PAID = {"usage": {"input_tokens": 1_000, "output_tokens": 100, "cost_usd": 0.1}}


class PageArgs(ToolArgs):
    """What the stand-in for web_read takes."""

    url: str


@pytest.fixture
def notes(lab: Lab) -> Lab:
    (lab.workspace / "notes.md").write_text("rate: 2e-4\n")
    return lab


def with_page(lab: Lab, spec: ToolSpec) -> Lab:
    """The same lab with another web_read."""
    return Lab(lab.home, lab.workspace, {**create_builtin_tools(), "web_read": spec})


async def test_the_report_comes_back_with_its_sources_and_the_thread_it_was_made_in(notes: Lab) -> None:
    child = notes.script({"tool_calls": [READ], **PAID}, {"text": CITED, **PAID})
    main = notes.script({"tool_calls": [ASK], **PAID}, {"text": "end", "expect": "[notes.md:1]", **PAID})
    async with notes.session(main, research_model=child) as session:
        events = await turn(session, UserInput("go"))
        threads = session.services.store.threads
        row = next(row for row in await threads.list(children=True) if row.parent == session.thread_id)
        total = await session.totals()
        sources = {
            one.source: one.totals.requests for one in await session.services.store.ledger.by_source(session.thread_id)
        }
    text = data(events, "tool_output")[0]["text"]
    assert text == f"{CITED}\n\n(thread of the sub-agent: {row.id})"
    assert row.turns == 1
    assert row.cost_usd == pytest.approx(0.2)
    assert total.cost_usd == pytest.approx(0.4)
    assert sources == {"main": 2, "research": 2}


async def test_its_progress_is_streamed_in_single_lines(notes: Lab) -> None:
    child = notes.script({"tool_calls": [READ, {"name": "read", "args": {"path": "gone"}}]}, {"text": CITED})
    async with notes.session(notes.script({"tool_calls": [ASK]}, {"text": "end"}), research_model=child) as session:
        events = await turn(session, UserInput("go"))
    lines = [log["text"] for log in data(events, "tool_log")]
    assert "[1/12] read path=notes.md\n" in lines
    assert any(line.startswith("read: error:") for line in lines)
    assert all(line.count("\n") == 1 and line.endswith("\n") for line in lines)


async def test_a_report_without_sources_is_mended_once(notes: Lab) -> None:
    child = notes.script(
        {"tool_calls": [READ]}, {"text": "- The rate in the notes is 2e-4, as measured"}, {"text": CITED}
    )
    main = notes.script({"tool_calls": [ASK]}, {"text": "end"})
    async with notes.session(main, research_model=child) as session:
        events = await turn(session, UserInput("go"))
    assert data(events, "tool_output")[0]["text"].startswith(CITED)


async def test_what_stays_without_a_source_is_marked(notes: Lab) -> None:
    bare = "- The rate in the notes is 2e-4, as measured"
    child = notes.script({"tool_calls": [READ]}, {"text": bare}, {"text": bare})
    main = notes.script({"tool_calls": [ASK]}, {"text": "end", "expect": NO_SOURCE})
    async with notes.session(main, research_model=child) as session:
        events = await turn(session, UserInput("go"))
    assert data(events, "turn_complete")[0]["text"] == "end"


async def test_a_claim_whose_source_was_only_mentioned_is_named_and_marked(notes: Lab) -> None:
    (notes.workspace / "notes.md").write_text("rate: 2e-4, see mars.md\n")
    report = "The rate is 2e-4 [notes.md]. Trained on Mars [mars.md]."
    failed = {"tool_calls": [READ, {"name": "read", "args": {"path": "mars.md"}}]}
    child = notes.script(failed, {"text": report}, {"text": report})
    main = notes.script({"tool_calls": [ASK]}, {"text": "end"})
    async with notes.session(main, research_model=child) as session:
        events = await turn(session, UserInput("go"))
    assert data(events, "tool_output")[0]["text"].startswith(f"{report} [source not opened: mars.md]")


def with_share(lab: Lab, *share: float) -> Lab:
    """The same lab, whose research has this share: model calls, tokens, US dollars."""

    @tool(read_only=True)
    async def research(args: ResearchArgs, context: ToolContext) -> ToolResult:
        """Ask a sub-agent."""
        assert context.spawn is not None
        return await context.spawn(args.question, context, SubagentQuota(("read",), *share))  # type: ignore[arg-type]

    return Lab(lab.home, lab.workspace, {**create_builtin_tools(), "research": research})


@pytest.mark.parametrize("share", [(5, -1, -1.0), (99, 4_000, -1.0), (99, -1, 0.4)])
async def test_near_the_end_of_its_share_it_reports_instead_of_reading_on(
    notes: Lab, share: tuple[int, int, float]
) -> None:
    notes = with_share(notes, *share)
    reads: list[dict[str, Any]] = [
        {"tool_calls": [{"name": "read", "args": {"path": "notes.md", "offset": n}}], **PAID} for n in (1, -1, 1, -1)
    ]
    child = notes.script(*reads, {"text": CITED, "expect": "are used. Report now", **PAID})
    main = notes.script({"tool_calls": [ASK]}, {"text": "end", "expect": "[notes.md:1]"})
    async with notes.session(main, research_model=child) as session:
        events = await turn(session, UserInput("go"))
    assert data(events, "turn_complete")[0]["text"] == "end"


async def test_one_that_will_not_report_is_ended_with_what_it_said(notes: Lab) -> None:
    notes = with_share(notes, 99, 2_000, -1.0)
    reads = [
        {"text": f"look {n}", "tool_calls": [{"name": "read", "args": {"path": "notes.md", "limit": n}}], **PAID}
        for n in range(1, 9)
    ]
    main = notes.script({"tool_calls": [ASK]}, {"text": "end", "expect": "The sub-agent reached its quota"})
    async with notes.session(main, research_model=notes.script(*reads)) as session:
        events = await turn(session, UserInput("go"))
        total = await session.totals()
    assert data(events, "turn_complete")[0]["text"] == "end"
    assert total.requests <= 2 + 5


async def test_it_has_no_tool_that_changes_anything_and_starts_no_others(notes: Lab) -> None:
    tries = [
        {"name": "bash", "args": {"command": "touch made"}},
        {"name": "write", "args": {"path": "made", "content": "x"}},
        ASK,
    ]
    child = notes.script({"tool_calls": tries}, {"text": CITED, "expect": "there is no tool"}, {"text": CITED})
    async with notes.session(notes.script({"tool_calls": [ASK]}, {"text": "end"}), research_model=child) as session:
        await turn(session, UserInput("go"))
        assert len(await session.services.store.threads.list(children=True)) == 2
    assert not (notes.workspace / "made").exists()


async def test_no_more_than_two_run_at_once(notes: Lab) -> None:
    running, most = 0, 0

    @tool(read_only=True)
    async def web_read(args: PageArgs, context: ToolContext) -> str:
        """Count who reads."""
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.3)
        running -= 1
        return "read"

    lab = with_page(notes, web_read)
    child = lab.script({"tool_calls": [{"name": "web_read", "args": {"url": "http://a"}}]}, {"text": "Nothing."})
    asks = [{"name": "research", "args": {"question": f"What is said on page number {n}?"}} for n in range(4)]
    async with lab.session(lab.script({"tool_calls": asks}, {"text": "end"}), research_model=child) as session:
        events = await turn(session, UserInput("go"))
    assert most == 2
    assert sum(output["ok"] for output in data(events, "tool_output")) == 4
    assert any("waiting: 2 sub-agents already running" in log["text"] for log in data(events, "tool_log"))


async def test_what_it_read_outside_taints_the_conversation_that_asked(notes: Lab) -> None:
    @tool(read_only=True)
    async def web_read(args: PageArgs, context: ToolContext) -> ToolResult:
        """A page."""
        return untrusted_result("words", args.url)

    lab = with_page(notes, web_read)
    child = lab.script(
        {"tool_calls": [{"name": "web_read", "args": {"url": "https://example.org/p"}}]},
        {"text": "- The page says so in its own words [https://example.org/p]"},
    )
    async with lab.session(lab.script({"tool_calls": [ASK]}, {"text": "end"}), research_model=child) as session:
        await turn(session, UserInput("go"))
        seen = Turns(session._runner.app, session.services, session.thread_id)
        state = (await seen.snapshot()).values
    assert state["taint"] == ["https://example.org/p"]
