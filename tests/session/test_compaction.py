"""A long turn goes on through compaction: nothing is lost from the file, the task stays, calls stay paired."""

from pathlib import Path

from langchain_core.messages import AIMessage, ToolMessage

from ml_intern.graph.operations import Compact, Undo, UserInput
from tests.session.conftest import Lab, bash, data, turn

BIG = 3_000


def noisy(lab: Lab, calls: int) -> str:
    """A script of one turn with many calls whose outputs do not repeat."""
    steps = [{"tool_calls": [bash(f"seq {n * 10_000} {n * 10_000 + BIG // 6}")]} for n in range(1, calls + 1)]
    return lab.script(*steps, {"text": "finished"}, {"summary": "Notes: numbers were printed."})


async def test_one_long_turn_is_compacted_and_finishes(lab: Lab) -> None:
    async with lab.session(noisy(lab, 40), compact_threshold=7_000, tool_names=("bash",)) as session:
        events = await turn(session, UserInput("print many numbers"))
        history = await session.messages()
    assert data(events, "turn_complete")[0]["text"] == "finished"
    compactions = data(events, "compacted")
    assert len(compactions) >= 2
    assert all(one["after_tokens"] < one["before_tokens"] for one in compactions)
    assert history[0].text == "print many numbers"
    open_ids = {call["id"] for m in history if isinstance(m, AIMessage) for call in m.tool_calls}
    assert open_ids == {m.tool_call_id for m in history if isinstance(m, ToolMessage)}


async def test_what_was_removed_stays_readable_by_the_agent(lab: Lab) -> None:
    async with lab.session(noisy(lab, 12), compact_threshold=7_000, tool_names=("bash",)) as session:
        events = await turn(session, UserInput("go"))
        kept = Path(data(events, "compacted")[0]["artifact"]).read_text()
    assert "10001\n10002\n" in kept


async def test_undo_lands_before_a_compaction(lab: Lab) -> None:
    model = noisy(lab, 12)
    async with lab.session(model, compact_threshold=7_000, tool_names=("bash",)) as session:
        await turn(session, UserInput("go"))
        await turn(session, Undo())
        assert await session.messages() == []


async def test_a_message_too_long_for_the_window_is_cut_and_whole_in_a_file(lab: Lab) -> None:
    model = lab.script({"text": "x"}, {"text": "y"})
    async with lab.session(model, compact_threshold=5_000, tool_names=("bash",)) as session:
        events = await turn(session, UserInput("first " + "word " * 40_000 + "last"))
        assert data(events, "turn_complete")[0]["status"] == "done"
        asked = (await session.messages())[0].text
        artifact = data(events, "compacted")[0]["artifact"]
        assert (asked[:10], asked[-4:], artifact in asked) == ("first word", "last", True)
        assert "word " * 40_000 in Path(artifact).read_text()
        events = await turn(session, UserInput("go on"))
        assert data(events, "turn_complete")[0]["text"] == "y"


async def test_a_conversation_that_cannot_be_made_to_fit_ends_in_one_line(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash(f": {'word' * 5_000}")]}, {"text": "y"})
    async with lab.session(model, compact_threshold=2_500, tool_names=("bash",)) as session:
        events = await turn(session, UserInput("go"))
        assert data(events, "turn_complete")[0]["status"] == "failed"
        assert "does not fit" in data(events, "turn_complete")[0]["text"]


async def test_a_short_thread_is_left_as_it_is_on_request(lab: Lab) -> None:
    summary = lab.script({"summary": "A long summary of little. " * 100})
    async with lab.session(lab.script(*[{"text": "short " * 20}] * 4), compact_model=summary) as session:
        for text in ("one", "two", "three", "four"):
            await turn(session, UserInput(text))
        before = await session.messages()
        events = await turn(session, Compact(), "turn_complete")
        assert await session.messages() == before
    assert data(events, "compacted") == []
    [end] = data(events, "turn_complete")
    assert (end["status"], end["text"].startswith("Nothing to compact")) == ("done", True)


async def test_a_thread_is_never_cut_on_request_without_a_summary(lab: Lab) -> None:
    model = lab.script(*[{"text": "long " * 400}] * 4)
    async with lab.session(model, compact_model=lab.script()) as session:
        for text in ("one", "two", "three", "four"):
            await turn(session, UserInput(text))
        before = await session.messages()
        events = await turn(session, Compact(), "turn_complete")
        assert await session.messages() == before
    assert data(events, "compacted") == []


async def test_sizes_before_and_after_are_measured_alike_even_before_the_first_reply(lab: Lab) -> None:
    model = lab.script({"text": "x"})
    async with lab.session(model, compact_threshold=5_000, tool_names=("bash",)) as session:
        [compacted] = data(await turn(session, UserInput("word " * 40_000)), "compacted")
    words = 40_000 * 5 // 4
    assert compacted["before_tokens"] > words  # the message, and the system prompt and the tools with it
    assert compacted["after_tokens"] < 5_000
