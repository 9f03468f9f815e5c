"""A yes with "always": what was offered runs unasked from then on, in the thread or in the folder, and nothing else."""

from ml_intern.graph.operations import Decision, ExecApproval, UserInput
from ml_intern.terminal.slash.permissions import answer_line
from tests.session.conftest import Lab, bash, data, turn


def two_calls(lab: Lab, first: str, second: str) -> str:
    return lab.script({"tool_calls": [bash(first)]}, {"tool_calls": [bash(second)]}, {"text": "ok"})


async def test_a_yes_for_this_thread_holds_in_this_thread(lab: Lab) -> None:
    model = two_calls(lab, "touch a", "touch b")
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        assert asked["requests"][0]["always"] == [{"tool": "bash", "prefix": ["touch"]}]
        events = await turn(
            session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve", "always": "thread"}})
        )
        assert data(events, "turn_complete")[0]["text"] == "ok"
    assert {path.name for path in lab.workspace.iterdir()} == {"a", "b"}
    async with lab.session(two_calls(lab, "touch c", "touch d"), approval_mode="ask") as session:
        assert data(await turn(session, UserInput("go")), "approval_required")


async def test_a_yes_for_this_folder_holds_in_other_threads_of_it_only(lab: Lab) -> None:
    async with lab.session(two_calls(lab, "touch a", "touch b"), approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve", "always": "folder"}}))
    async with lab.session(two_calls(lab, "touch c", "touch d"), approval_mode="ask") as session:
        assert data(await turn(session, UserInput("go")), "turn_complete")[0]["text"] == "ok"
    lab.workspace = lab.workspace.parent / "elsewhere"
    lab.workspace.mkdir()
    async with lab.session(two_calls(lab, "touch e", "touch f"), approval_mode="ask") as session:
        assert data(await turn(session, UserInput("go")), "approval_required")


async def test_a_yes_for_every_folder_holds_in_other_folders(lab: Lab) -> None:
    async with lab.session(two_calls(lab, "touch a", "touch b"), approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve", "always": "everywhere"}}))
    lab.workspace = lab.workspace.parent / "elsewhere"
    lab.workspace.mkdir()
    async with lab.session(two_calls(lab, "touch c", "touch d"), approval_mode="ask") as session:
        assert data(await turn(session, UserInput("go")), "turn_complete")[0]["text"] == "ok"
        [answer] = (await session.permissions()).answers
        assert answer_line(answer).endswith("touch ...  (always, in every folder)")
        assert await session.remove_permission(answer.id)
    async with lab.session(two_calls(lab, "touch e", "touch f"), approval_mode="ask") as session:
        assert data(await turn(session, UserInput("go")), "approval_required")


async def test_always_with_a_no_or_an_edit_or_without_an_offer_stores_nothing(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("touch a"), bash("touch b"), bash("touch c > d")]}, {"text": "ok"})
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        ids = [request["id"] for request in asked["requests"]]
        answers: tuple[Decision, ...] = (
            {"type": "reject", "always": "folder"},
            {"type": "edit", "args": {"command": "touch z"}, "always": "folder"},
            {"type": "approve", "always": "folder"},
        )
        await turn(session, ExecApproval(dict(zip(ids, answers, strict=True))))
        assert await session.services.store.permissions.list() == []
