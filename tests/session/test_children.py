"""A sub-agent runs in a child thread: its parent pays, it has nobody to ask, and a crash does not start it again."""

from collections.abc import Mapping

from ml_intern.execution.call import ToolResult
from ml_intern.execution.tool import SubagentQuota, ToolArgs, ToolContext, ToolSpec, tool
from ml_intern.graph.operations import UserInput
from tests.session.conftest import Lab, bash, data, turn


class AskArgs(ToolArgs):
    """What to find out."""

    question: str


def lab_with_ask(lab: Lab) -> Lab:
    @tool(read_only=True)
    async def ask(args: AskArgs, context: ToolContext) -> ToolResult:
        """Ask a sub-agent."""
        assert context.spawn is not None
        return await context.spawn(args.question, context, SubagentQuota(("read", "bash"), 5))

    tools: Mapping[str, ToolSpec] = {**lab.tools, "ask": ask}
    return Lab(lab.home, lab.workspace, tools)


ASK = {"name": "ask", "args": {"question": "what does the file say?"}}


async def test_a_sub_agent_reports_and_its_thread_and_spending_belong_to_the_parent(lab: Lab) -> None:
    (lab.workspace / "file").write_text("hello from the file")
    paid = {"usage": {"input_tokens": 10, "output_tokens": 1, "cost_usd": 0.5}}
    read = {"name": "read", "args": {"path": "file"}}
    child = lab.script({"tool_calls": [read], **paid}, {"text": "It says ${result:hello from the \\w+}", **paid})
    main = lab.script({"tool_calls": [ASK], **paid}, {"text": "${result:It says.*}", **paid})
    lab = lab_with_ask(lab)
    async with lab.session(main, research_model=child) as session:
        events = await turn(session, UserInput("go"))
        total = await session.totals()
        threads = await session.services.store.threads.list(children=True)
        parent = session.thread_id
    assert data(events, "turn_complete")[0]["text"] == "It says hello from the file"
    assert [row.parent for row in threads if row.id != parent] == [parent]
    assert (total.requests, total.cost_usd) == (4, 2.0)


async def test_a_sub_agents_ask_is_a_refusal_with_the_reason(lab: Lab) -> None:
    child = lab.script({"tool_calls": [bash("touch made")]}, {"text": "refused", "expect": "cannot ask the user"})
    main = lab.script({"tool_calls": [ASK]}, {"text": "end", "expect": "refused"})
    lab = lab_with_ask(lab)
    async with lab.session(main, approval_mode="ask", research_model=child) as session:
        events = await turn(session, UserInput("go"))
    assert data(events, "turn_complete")[0]["text"] == "end"
    assert not (lab.workspace / "made").exists()


async def test_the_thread_of_a_sub_agent_is_listed_only_on_request(lab: Lab) -> None:
    lab = lab_with_ask(lab)
    child = lab.script({"text": "nothing"})
    async with lab.session(lab.script({"tool_calls": [ASK]}, {"text": "end"}), research_model=child) as session:
        await turn(session, UserInput("go"))
        threads = session.services.store.threads
        assert len(await threads.list()) == 1
        assert len(await threads.list(children=True)) == 2
