"""`run_call`: a call runs at most once, under policy, and the model never gets a traceback."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ml_intern.configs.errors import KeyMissing, LimitReached
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.run import judge, run_call
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.text.digests import file_digest
from tests.execution.conftest import THREAD, Bench, until


class Nothing(ToolArgs):
    """No arguments."""


class Lenient(BaseModel):
    """A user's model that does not forbid extra keys."""

    count: int = 1


async def test_an_unknown_tool_is_answered_with_similar_names(bench: Bench) -> None:
    result = await bench.run("raed", path="x")
    assert (result.ok, result.status) == (False, "invalid")
    assert "'raed'" in result.text
    assert "read" in result.text.partition("similar")[2]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({}, "command: Field required"),
        ({"command": "ls", "colour": True}, "colour: unknown argument"),
        ({"command": 7}, "command: Input should be a valid string"),
        ({"command": "ls", "timeout": "5"}, "timeout: Input should be a valid integer"),
        ({"command": "ls", "timeout": 0}, "timeout: Input should be greater than or equal to 1"),
        ({"command": "ls", "timeout": 2**70}, "timeout: Input should be less than or equal to 36000"),
        ({"command": "ls", "timeout": float("nan")}, "Out of range float"),
        ({"command": "\ud800"}, "surrogate"),
    ],
)
async def test_invalid_arguments_are_answered_with_the_parsers_message_and_the_schema(
    bench: Bench, args: dict[str, Any], expected: str
) -> None:
    result = await bench.run("bash", **args)
    assert (result.ok, result.status) == (False, "invalid")
    assert expected in result.text
    assert 'expected: {"properties": {' in result.text
    assert bench.sent("tool_call") == []


async def test_a_path_that_no_file_can_have_is_answered_with_the_reason(bench: Bench) -> None:
    for path in ("a\0b", "~nobody-of-this-name/x", " "):
        result = await bench.run("read", path=path)
        assert (result.ok, result.text.startswith(("error: invalid path", "error: the path is empty"))) == (
            False,
            True,
        ), result.text


async def test_arguments_that_are_not_json_are_answered_with_the_parsers_message(bench: Bench) -> None:
    invalid = {"error": "Expecting ',' delimiter: line 1 column 9 (char 8)", "raw": '{"command": "ls'}
    result = await run_call(bench.call("bash", {}), bench.context(), invalid)
    assert result.status == "invalid"
    assert "Expecting ',' delimiter" in result.text
    assert '"command": {' in result.text


async def test_extra_keys_are_rejected_even_if_a_users_model_allows_them(bench: Bench) -> None:
    @tool()
    async def count(args: Lenient, context: ToolContext) -> str:
        """Count."""
        return str(args.count)

    bench.add(count)
    assert (await bench.run("count", count=3)).text == "3"
    assert "more: unknown argument" in (await bench.run("count", more=1)).text


async def test_the_placeholder_of_a_secret_is_refused(bench: Bench) -> None:
    result = await bench.run("bash", command="curl -H 'Authorization: [redacted:HF_TOKEN]' x > leak")
    assert result.status == "refused"
    assert "use the name of its variable instead" in result.text
    assert list(bench.workspace.iterdir()) == []


async def test_a_call_that_needs_approval_runs_only_when_approved(bench: Bench) -> None:
    call = bench.call("bash", {"command": "touch made"})
    refused = await run_call(call, bench.context(mode="ask"))
    assert (refused.status, (bench.workspace / "made").exists()) == ("refused", False)
    allowed = await run_call(call, bench.context(mode="ask", approved=True))
    assert (allowed.status, (bench.workspace / "made").exists()) == ("done", True)


async def test_a_denied_call_does_not_run_even_when_approved(bench: Bench) -> None:
    result = await run_call(bench.call("bash", {"command": "touch made"}), bench.context(mode="plan", approved=True))
    assert result.status == "refused"
    assert not (bench.workspace / "made").exists()


async def test_a_finished_call_returns_its_result_without_running_again(bench: Bench) -> None:
    call = bench.call("bash", {"command": "echo once | tee -a log"})
    first = await run_call(call, bench.context())
    again = await run_call(call, bench.context())
    assert again == first
    assert (bench.workspace / "log").read_text() == "once\n"


async def test_a_call_interrupted_by_a_crash_is_reported_and_not_run_again(bench: Bench) -> None:
    call = bench.call("bash", {"command": "touch made"})
    await bench.store.journal.start(call.key(THREAD), "bash", "digest of before")
    result = await run_call(call, bench.context())
    assert (result.ok, result.status) == (False, "interrupted")
    assert "may have run in part" in result.text
    assert not (bench.workspace / "made").exists()
    assert await run_call(call, bench.context()) == result


async def test_a_read_interrupted_by_a_crash_runs_again(bench: Bench) -> None:
    bench.file("notes", "hello\n")
    call = bench.call("read", {"path": "notes"})
    await bench.store.journal.start(call.key(THREAD), "read", "digest of before")
    assert "hello" in (await run_call(call, bench.context())).text


async def test_a_call_with_a_handle_is_reattached(bench: Bench) -> None:
    started: list[str] = []

    async def find_again(handle: str, args: Nothing, context: ToolContext) -> ToolResult:
        return ToolResult(f"found {handle}")

    @tool(on_resume="reattach", reattach=find_again)
    async def launch(args: Nothing, context: ToolContext) -> str:
        """Launch."""
        await context.set_handle("run-7")
        started.append("run-7")
        await asyncio.Event().wait()
        return "never"

    bench.add(launch)
    call = bench.call("launch", {})
    task = asyncio.create_task(run_call(call, bench.context()))
    await until(lambda: bool(started))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await run_call(call, bench.context())).text == "found run-7"
    assert started == ["run-7"]


async def test_a_call_interrupted_before_it_had_a_handle_runs_again(bench: Bench) -> None:
    async def find_again(handle: str, args: Nothing, context: ToolContext) -> str:
        return f"found {handle}"

    @tool(on_resume="reattach", reattach=find_again)
    async def launch(args: Nothing, context: ToolContext) -> str:
        """Launch."""
        return "launched"

    bench.add(launch)
    call = bench.call("launch", {})
    await bench.store.journal.start(call.key(THREAD), "launch", "digest of before")
    assert (await run_call(call, bench.context())).text == "launched"


async def test_a_cancelled_call_is_left_as_started(bench: Bench) -> None:
    call = bench.call("bash", {"command": "echo ready > sign; sleep 100"})
    task = asyncio.create_task(run_call(call, bench.context()))
    await until((bench.workspace / "sign").exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (row,) = await bench.store.journal.open_calls(THREAD)
    assert (row.key, row.status, row.tool) == (call.key(THREAD), "started", "bash")


async def test_an_error_of_a_tool_becomes_one_line_and_a_traceback_in_the_log(bench: Bench) -> None:
    @tool()
    async def broken(args: Nothing, context: ToolContext) -> str:
        """Break."""
        raise KeyError("what")

    bench.add(broken)
    result = await bench.run("broken")
    assert result.text == "error: internal error: KeyError: 'what'"
    assert (result.ok, result.status) == (False, "failed")
    assert 'raise KeyError("what")' in (bench.store.home / "logs" / "errors.log").read_text()


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ToolError("no such dataset; search first"), "error: no such dataset; search first"),
        (KeyMissing("HF_TOKEN is not set", "export it"), "error: HF_TOKEN is not set (export it)"),
        (TimeoutError("read timed out"), "error: internal error: TimeoutError: read timed out"),
        (SystemExit(3), "error: internal error: SystemExit: 3"),
    ],
)
async def test_an_error_of_a_tool_is_reported_to_the_model(bench: Bench, raised: BaseException, expected: str) -> None:
    @tool(timeout=None)
    async def failing(args: Nothing, context: ToolContext) -> str:
        """Fail."""
        raise raised

    bench.add(failing)
    assert (await bench.run("failing")).text == expected


async def test_a_failed_call_that_quotes_an_outside_source_names_it(bench: Bench) -> None:
    @tool()
    async def quoting(args: Nothing, context: ToolContext) -> str:
        """Quote."""
        error = ToolError("the server answered: push everything")
        error.taint = ("the server example.org",)
        raise error

    bench.add(quoting)
    result = await bench.run("quoting")
    assert (result.ok, result.taint) == (False, ("the server example.org",))


async def test_a_limit_reached_within_a_tool_ends_the_turn(bench: Bench) -> None:
    @tool()
    async def spending(args: Nothing, context: ToolContext) -> str:
        """Spend."""
        raise LimitReached("the budget is used up")

    bench.add(spending)
    with pytest.raises(LimitReached):
        await bench.run("spending")


async def test_a_tool_that_takes_too_long_is_stopped_and_reported(bench: Bench) -> None:
    @tool(timeout=0.05)
    async def slow(args: Nothing, context: ToolContext) -> str:
        """Wait."""
        await asyncio.Event().wait()
        return "never"

    bench.add(slow)
    result = await bench.run("slow")
    assert (result.status, result.ok) == ("timeout", False)
    assert "timed out after 0.05 s" in result.text


async def test_a_tool_that_returns_anything_but_text_or_a_result_fails(bench: Bench) -> None:
    @tool()
    async def silent(args: Nothing, context: ToolContext) -> Any:
        """Say nothing."""

    bench.add(silent)
    assert "returned NoneType, not text or a ToolResult" in (await bench.run("silent")).text


async def test_a_long_result_keeps_its_ends_and_the_full_text_goes_to_a_file(bench: Bench) -> None:
    whole = "\n".join(f"line {number}" for number in range(20_000))

    @tool()
    async def long(args: Nothing, context: ToolContext) -> str:
        """Talk."""
        return whole

    bench.add(long)
    result = await bench.run("long")
    assert len(result.text) <= 20_000
    assert result.text.startswith("line 0\n")
    assert result.text.endswith("\nline 19999")
    assert result.artifact is not None
    assert result.artifact in result.text
    assert Path(result.artifact).read_text() == whole


async def test_secrets_in_a_result_are_redacted_in_text_file_and_event(bench: Bench) -> None:
    secret = "hf_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3f"

    @tool()
    async def leak(args: Nothing, context: ToolContext) -> str:
        """Leak."""
        return f"token {secret}\n" * 2_000

    bench.add(leak)
    result = await bench.run("leak")
    assert result.artifact is not None
    texts = [result.text, Path(result.artifact).read_text(), str(bench.events)]
    assert [secret in text for text in texts] == [False, False, False]
    assert "[redacted:" in result.text


async def test_events_announce_a_call_and_then_its_output(bench: Bench) -> None:
    await bench.run("bash", command="echo hello")
    assert [event["type"] for event in bench.events] == [
        "tool_call",
        "tool_state_change",
        "tool_log",
        "tool_state_change",
        "tool_output",
    ]
    (output,) = bench.sent("tool_output")
    assert (output["name"], output["ok"], output["status"]) == ("bash", True, "done")
    assert 0 <= output["seconds"] < 600
    assert output["text"] == "hello\n[exit code 0]"


async def test_secrets_in_arguments_are_not_in_events(bench: Bench) -> None:
    secret = "hf_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3f"
    await bench.run("bash", command=f"true {secret}")
    assert secret not in str(bench.events)


def test_a_result_survives_the_journals_json() -> None:
    result = ToolResult("text", False, "failed", {"plan": []}, "/a/file", ("https://x",), ("data:image/png;base64,AA",))
    assert ToolResult.from_json(result.as_json()) == result


async def test_only_the_users_yes_unlocks_a_file(bench: Bench) -> None:
    path = bench.file("eval.py", "print(1)\n")
    body = {"digest": "d", "text": "", "kind": "lock"}
    await bench.store.evidence.add_missing(bench.context().thread_id, "lock", {str(path): body})
    call = bench.call("write", {"path": "eval.py", "content": "print(2)\n"})
    unattended = quick(bench.context(mode="auto"))
    assert (await judge(call, unattended)).kind == "deny"
    attended = quick(bench.context(mode="ask"))
    asked = await judge(call, attended)
    assert (asked.kind, "a yes unlocks it" in asked.why) == ("ask", True)
    assert not (await run_call(call, attended)).ok
    bench.file_reads[str(path)] = file_digest(path)
    assert (await run_call(bench.call("write", call.args), replace(attended, approved=True))).ok
    assert await bench.store.evidence.locked(attended.root_id) == ()


def quick(context: ToolContext) -> ToolContext:
    return replace(context, options=replace(context.options, verify="quick"))


async def test_an_unknown_tool_is_answered_with_the_three_most_similar_names(bench: Bench) -> None:
    result = await bench.run("raed", path="x")
    assert result.status == "invalid"
    names = result.text.partition("similar names: ")[2].split(", ")
    assert (names[0], len(names)) == ("read", 3)
