"""What a thread writes to the Hub is gathered in one collection, which the user is asked about once."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import Collection, HfApi

from ml_intern.execution.run import run_call
from ml_intern.execution.tool import ToolContext
from ml_intern.graph.context import RunOptions
from ml_intern.graph.operations import Decision, ExecApproval, UserInput
from tests.execution.conftest import Bench
from tests.fakes.hub import FakeHub
from tests.fakes.hub.server import TOKEN
from tests.session.conftest import Lab, data, turn, until

QUESTION = "in one collection?"


def create(name: str, **args: Any) -> dict[str, Any]:
    return {"name": "hub_repos", "args": {"operation": "create", "repo": name, **args}}


def only(hub: FakeHub, client: HfApi) -> Collection:
    """The one collection there is, as the real client reads it."""
    [found] = hub.collections
    return client.get_collection(found["slug"])


def items(collection: Collection) -> list[tuple[str, str]]:
    return [(item.item_type, item.item_id) for item in collection.items]


@pytest.fixture
def lab(tmp_path: Path, hub: FakeHub) -> Lab:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    return Lab(tmp_path / "home", workspace)


def unattended(bench: Bench, *, collect: bool | None = None, answer: str = "", **choices: Any) -> ToolContext:
    context = bench.context(collection=answer)
    return replace(context, options=replace(context.options, headless=True, hub_collection=collect, **choices))


async def perform(bench: Bench, context: ToolContext, operation: str, **args: Any) -> str:
    result = await run_call(bench.call("hub_repos", {"operation": operation, **args}), context)
    assert result.ok, result.text
    return result.text


@pytest.mark.parametrize("mode", ["ask", "auto"])
@pytest.mark.parametrize(
    ("answer", "gathered"),
    [("approve", [("model", "ada/a"), ("dataset", "ada/b"), ("model", "ada/c")]), ("reject", [])],
)
async def test_the_user_is_asked_once_and_the_answer_holds_for_the_thread(
    hub: FakeHub, lab: Lab, client: HfApi, mode: str, answer: Any, gathered: list[tuple[str, str]]
) -> None:
    model = lab.script(
        {"tool_calls": [create("ada/a"), create("ada/b", type="dataset")]},
        {"tool_calls": [create("ada/c")]},
        {"text": "done"},
    )
    async with lab.session(model, approval_mode=mode) as session:
        [asked] = data(await turn(session, UserInput("publish")), "approval_required")
        thread = session.thread_id
    async with lab.session(model, approval_mode=mode, thread=thread) as session:
        [asked] = data(await until(session, "approval_required"), "approval_required")
        assert [QUESTION in one["description"] for one in asked["requests"]].count(True) == 1
        events = await turn(session, ExecApproval(answers(asked, answer)))
        if mode == "ask":
            [again] = data(events, "approval_required")
            assert [one["name"] for one in again["requests"]] == ["hub_repos"]
            events = await turn(session, ExecApproval(answers(again, answer)))
        assert data(events, "turn_complete")[0]["text"] == "done"
    assert hub.repository("models", "ada/c").private
    assert (items(only(hub, client)) if hub.collections else []) == gathered


def answers(asked: Mapping[str, Any], to_question: Any) -> dict[str, Decision]:
    """Approve every call, and answer the question."""
    return {one["id"]: {"type": to_question if one["name"] == "question" else "approve"} for one in asked["requests"]}


@pytest.mark.parametrize(
    ("choices", "call"),
    [
        ({"approval_mode": "plan"}, create("ada/a")),
        ({"approval_mode": "yolo"}, create("ada/a")),
        ({"headless": True}, create("ada/a")),
        ({"hub_collection": False}, create("ada/a")),
        ({}, create("lab/public", private=False)),
        ({}, {"name": "hub_repos", "args": {"operation": "info", "repo": "ada/known"}}),
        ({}, {"name": "hub_repos", "args": {"operation": "create_branch", "repo": "ada/known", "name": "b"}}),
    ],
    ids=["plan", "yolo", "unattended", "set to false", "refused", "reading", "a branch"],
)
async def test_nothing_is_asked_where_nothing_is_published_or_nobody_may_be_asked(
    hub: FakeHub, lab: Lab, choices: dict[str, Any], call: dict[str, Any]
) -> None:
    hub.add("models", "ada/known", {"a": "1"}, private=True)
    async with lab.session(lab.script({"tool_calls": [call]}, {"text": "done"}), **choices) as session:
        events = await turn(session, UserInput("go"))
    assert data(events, "turn_complete")[0]["text"] == "done"
    assert not hub.collections


async def test_an_unattended_thread_names_the_setting_once_and_gathers_when_it_is_true(
    hub: FakeHub, lab: Lab, client: HfApi
) -> None:
    model = lab.script({"tool_calls": [create("ada/a")]}, {"tool_calls": [create("ada/b")]}, {"text": "done"})
    async with lab.session(model, headless=True) as session:
        texts = [one["text"] for one in data(await turn(session, UserInput("go")), "tool_output")]
    assert ["hub_collection" in text for text in texts] == [True, False]
    assert not hub.collections
    model = lab.script({"tool_calls": [create("ada/c")]}, {"text": "done"})
    async with lab.session(model, headless=True, hub_collection=True) as session:
        await turn(session, UserInput("go"))
        assert only(hub, client).title == f"ml-intern {session.thread_id}"
    assert items(only(hub, client)) == [("model", "ada/c")]


async def test_undo_takes_the_answer_back(hub: FakeHub, lab: Lab) -> None:
    from ml_intern.graph.operations import Undo

    model = lab.script({"tool_calls": [create("ada/a")]}, {"text": "done"}, {"tool_calls": [create("ada/b")]})
    async with lab.session(model) as session:
        for _ in range(2):
            [asked] = data(await turn(session, UserInput("go")), "approval_required")
            assert QUESTION in asked["requests"][0]["description"]
            await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "reject"}}))
            await turn(session, Undo())


async def test_what_is_repeated_after_a_crash_is_added_once(hub: FakeHub, bench: Bench, client: HfApi) -> None:
    context = unattended(bench, answer="yes")
    bench.file("out/a.txt", "a")
    for _ in range(2):
        text = await perform(bench, context, "upload", repo="ada/m", local="out")
        assert "added to the collection" in text
        assert "(private)" in text
    await perform(bench, context, "card", repo="ada/m", metadata={"license": "mit"})
    await perform(bench, context, "duplicate", repo="ada/m", to="ada/copy")
    text = await perform(bench, context, "upload", repo="ada/m", local="out", create_pr=True)
    assert "collection" not in text
    assert items(only(hub, client)) == [("model", "ada/m"), ("model", "ada/copy")]


async def test_the_collection_is_public_only_while_everything_in_it_is(
    hub: FakeHub, bench: Bench, client: HfApi
) -> None:
    context = unattended(bench, collect=True, approval_mode="yolo")
    assert "(public)" in await perform(bench, context, "create", repo="ada/open", private=False)
    assert not only(hub, client).private
    assert "(private)" in await perform(bench, context, "create", repo="ada/closed", type="dataset")
    assert only(hub, client).private
    assert "(private)" in await perform(bench, context, "create", repo="ada/open2", private=False)
    hub.repository("datasets", "ada/closed").private = False
    assert "(public)" in await perform(bench, context, "card", repo="ada/open", metadata={"license": "mit"})
    assert not only(hub, client).private
    assert len(only(hub, client).items) == 3


@pytest.mark.parametrize("status", [403, 500, 200])
async def test_a_collection_that_fails_is_one_line_and_the_push_succeeds(
    hub: FakeHub, bench: Bench, status: int
) -> None:
    hub.fail("/api/collections", status)
    text = await perform(bench, unattended(bench, collect=True), "create", repo="ada/m")
    [line] = [line for line in text.splitlines() if "collection" in line]
    assert line.startswith("model ada/m was not added to the thread's collection: ")
    assert hub.repository("models", "ada/m").private


async def test_the_real_client_agrees_about_collections(hub: FakeHub) -> None:
    api = HfApi(endpoint=hub.url, token=TOKEN)
    hub.add("models", "ada/m", {"a": "1"})
    made = api.create_collection("A title", namespace="ada", private=True)
    assert api.create_collection("A title", namespace="ada", exists_ok=True).slug == made.slug
    for _ in range(2):
        found = api.add_collection_item(made.slug, "ada/m", "model", exists_ok=True)
    assert items(found) == [("model", "ada/m")]
    assert not api.update_collection_metadata(made.slug, private=False).private
    assert [one.slug for one in api.list_collections(item="models/ada/m")] == [made.slug]


def test_the_options_decide_whether_anyone_is_asked() -> None:
    options = RunOptions(model="m", workspace="/")
    assert options.asks_about_collection
    for choices in ({"headless": True}, {"child": True}, {"approval_mode": "yolo"}):
        assert not replace(options, **choices).asks_about_collection
