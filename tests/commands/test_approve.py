"""`approve`: a run that waits is shown, answered from another terminal, and goes on; headless ask stops at once."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_intern.configs.paths import data_home
from ml_intern.store.store import Store
from tests.commands.conftest import Done, call

Run = Callable[..., Done]
Script = Callable[..., str]
Waiting = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def waiting(run: Run, script: Script) -> Waiting:
    """Start a run that stops for these commands; its thread and the ids of the calls."""

    def start(*commands: str, then: tuple[dict[str, Any], ...] = ({"text": "done"},)) -> tuple[str, list[str]]:
        model = script({"tool_calls": [call("bash", command=command) for command in commands]}, *then)
        done = run("-m", model, "--no-sandbox", "--approval-mode", "ask", "--output-format", "json", "go")
        assert (done.code, done.json["status"], done.json["exit_code"]) == (3, "waiting", 3)
        thread = done.json["thread_id"]
        assert f"ml-intern approve {thread}" in done.err
        shown = run("approve", thread, "--json")
        assert shown.code == 3
        return thread, [request["id"] for request in shown.json["requests"]]

    return start


def test_without_an_answer_it_shows_what_waits_and_changes_nothing(run: Run, waiting: Waiting, place: Path) -> None:
    thread, [id] = waiting("touch made\necho '\u202e'")
    for _ in range(2):
        done = run("approve", thread[:8])
        assert done.code == 3
        assert f"{id}  bash: " in done.out
        assert "$ touch made" in done.out
        assert "\\u202e" in done.out
        assert f"ml-intern approve {thread} --all" in done.out
    assert list(place.iterdir()) == []


def test_all_goes_on_with_the_threads_own_model_and_folder(run: Run, waiting: Waiting, place: Path) -> None:
    thread, _ = waiting("touch made", "touch more")
    done = run("approve", thread, "--all", "-q")
    assert (done.code, done.out, done.err) == (0, "done\n", "")
    assert {path.name for path in place.iterdir()} == {"made", "more"}
    again = run("approve", thread, "--all")
    assert (again.code, "has no pending approvals" in again.err) == (2, True)


def test_each_call_is_answered_by_its_id(run: Run, waiting: Waiting, place: Path) -> None:
    then = ({"text": "${result:(rejected it. .*)}"},)
    thread, [first, second, third] = waiting("touch a", "touch b", "touch c", then=then)
    assert "no answer for" in run("approve", thread, "--id", first).err
    done = run("approve", thread, "--id", first, "--reject", second, "not that", "--reject", third, "nor that")
    assert (done.code, done.out) == (0, "rejected it. nor that\n")
    assert [path.name for path in place.iterdir()] == ["a"]


def test_a_no_beside_all_and_one_reason_for_several(run: Run, waiting: Waiting, place: Path) -> None:
    then = ({"text": "${result:(rejected it. .*)}"},)
    thread, [first, second, _] = waiting("touch a", "touch b", "touch c", then=then)
    done = run("approve", thread, "--all", "--reject", first, "--reject", second, "too dear")
    assert (done.code, done.out) == (0, "rejected it. too dear\n")
    assert [path.name for path in place.iterdir()] == ["c"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--id", "nobody"], "is not a pending approval"),
        (["--id", "call_"], "matches several approvals"),
        (["--all", "a reason"], "--reject was given 0 times, but with 1 reason"),
        (["--reject", "FIRST", "--id", "FIRST"], "both name"),
        (["--id", "FIRST"], "no answer for"),
    ],
)
def test_answers_that_do_not_fit_are_usage_errors_and_answer_nothing(
    run: Run, waiting: Waiting, place: Path, argv: list[str], said: str
) -> None:
    thread, [first, _] = waiting("touch a", "touch b")
    done = run("approve", thread, *[first if word == "FIRST" else word for word in argv])
    assert (done.code, said in done.err) == (2, True)
    assert (run("approve", thread).code, list(place.iterdir())) == (3, [])


def test_what_comes_after_is_asked_about_again(run: Run, waiting: Waiting) -> None:
    then = ({"tool_calls": [call("bash", command="touch more")]}, {"text": "done"})
    thread, _ = waiting("touch made", then=then)
    done = run("approve", thread, "--all", "--output-format", "stream-json")
    assert done.code == 3
    assert [event["type"] for event in (done.events[0], done.events[-1])] == ["ready", "result"]
    assert done.events[-1]["data"]["status"] == "waiting"
    assert run("approve", thread, "--all", "--approval-mode", "auto", "-q").out == "done\n"


def test_a_thread_that_somebody_holds_is_a_passing_fault(run: Run, waiting: Waiting) -> None:
    thread, _ = waiting("touch made")

    async def held() -> Done:
        async with await Store.open(data_home()) as store, store.hold(thread):
            return await asyncio.to_thread(run, "approve", thread, "--all")

    assert asyncio.run(held()).code == 75
    assert run("approve", thread).code == 3


def test_an_unknown_thread_is_a_usage_error(run: Run) -> None:
    assert run("approve", "nobody", "--all").code == 2


def test_a_continued_thread_keeps_its_model_and_folder(run: Run, script: Script, place: Path) -> None:
    model = script({"text": "one"}, {"text": "two"}, {"text": "three"})
    folder = place / "project"
    folder.mkdir()
    first = run("-m", model, "-C", str(folder), "--output-format", "json", "go")
    again = run("-r", first.json["thread_id"], "--output-format", "stream-json", "on")
    ready = again.events[0]["data"]
    assert (ready["model"], ready["cwd"], ready["notes"]) == (model, str(folder), [])
    assert again.events[-1]["data"]["text"] == "two"
    assert run("-c", "-C", str(folder), "-q", "on").out == "three\n"


def test_a_model_that_cannot_be_called_any_more_gives_way_and_it_is_said(
    run: Run, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = run("-m", script({"text": "one"}), "--output-format", "json", "go").json["thread_id"]

    async def earlier() -> None:
        async with await Store.open(data_home()) as store:
            await store.ledger.fail(await store.ledger.reserve(thread, thread, "main", "nobody/none"), "gone")

    asyncio.run(earlier())
    other = script({"text": "x"}, {"text": "two"})
    monkeypatch.setenv("ML_INTERN_MODEL_NAME", other)
    done = run("-r", thread, "--output-format", "stream-json", "on")
    [note] = done.events[0]["data"]["notes"]
    assert "last model nobody/none is unavailable" in note
    assert done.events[-1]["data"]["text"] == "two"
