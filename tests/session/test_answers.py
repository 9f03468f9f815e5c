"""An answer belongs to what was asked, whatever policy has become in the meantime."""

from langgraph.types import Command

from ml_intern.graph.operations import ExecApproval, SetMode, UserInput
from tests.session.conftest import Lab, bash, data, turn, until


async def test_a_rejected_call_does_not_run_when_the_mode_became_lenient_before_the_answer(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("touch bad")]}, {"text": "ok", "expect": "rejected"})
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        await turn(session, SetMode("yolo"), "ready")
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "reject"}}))
    assert data(events, "turn_complete")[0]["text"] == "ok"
    assert not (lab.workspace / "bad").exists()


async def test_answers_by_position_belong_to_the_calls_that_were_asked_about(lab: Lab) -> None:
    calls = [{"name": "read", "args": {"path": "."}}, bash("touch first"), bash("touch second")]
    model = lab.script({"tool_calls": calls}, {"text": "ok"})
    async with lab.session(model, approval_mode="ask") as session:
        await turn(session, UserInput("go"))
        thread = session.thread_id
    async with lab.session(model, approval_mode="auto", thread=thread) as session:
        await until(session, "approval_required")
        await session._run(Command(resume={"decisions": [{"type": "reject"}, {"type": "approve"}]}))
    assert [path.name for path in lab.workspace.iterdir()] == ["second"]


async def test_a_client_learns_once_per_tool_which_answers_are_possible(lab: Lab) -> None:
    calls = [bash("touch first"), bash("touch second"), {"name": "write", "args": {"path": "third", "content": ""}}]
    async with lab.session(lab.script({"tool_calls": calls}), approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
    answers = ["approve", "edit", "reject", "respond"]
    assert [(one["action_name"], sorted(one["allowed_decisions"])) for one in asked["configs"]] == [
        ("bash", answers),
        ("write", answers),
    ]


def edit(path: str, old: str, new: str) -> dict[str, object]:
    return {"name": "edit", "args": {"path": path, "old": old, "new": new}}


async def test_a_call_that_cannot_succeed_is_not_asked_about(lab: Lab) -> None:
    (lab.workspace / "a").write_text("one\n")
    write = {"name": "write", "args": {"path": "a", "content": "two\n"}}
    read = {"name": "read", "args": {"path": "a"}}
    model = lab.script(
        {"tool_calls": [edit("a", "one", "two"), write, edit("nowhere", "one", "two")]},
        {"tool_calls": [read, edit("./a", "one", "two"), edit("./a", "two", "three")]},
        {"tool_calls": [edit("a", "four", "five"), edit("a", "one", "six")]},
        {"text": "ok"},
    )
    async with lab.session(model, approval_mode="ask") as session:
        events = await turn(session, UserInput("go"))
        [asked] = data(events, "approval_required")
        failed = [output["text"] for output in data(events, "tool_output") if not output["ok"]]
        assert [text.partition("; ")[0] for text in failed] == [
            "error: a exists but was not read in this thread",
            "error: a exists but was not read in this thread",
            "error: there is no file nowhere",
        ]
        assert [request["args"]["new"] for request in asked["requests"]] == ["two", "three"]
        events = await turn(session, ExecApproval({request["id"]: {"type": "reject"} for request in asked["requests"]}))
        [asked] = data(events, "approval_required")
        assert [request["args"]["new"] for request in asked["requests"]] == ["six"]
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}))
    assert data(events, "turn_complete")[0]["text"] == "ok"
    assert (lab.workspace / "a").read_text() == "six\n"
