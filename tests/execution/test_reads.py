"""A tool that reads with some arguments and writes with others: policy, crash and neighbours go by the call."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from ml_intern.execution.call import ToolError
from ml_intern.execution.run import judge, run_call
from ml_intern.execution.tool import ExternalEffects, ToolArgs, ToolContext, tool
from tests.execution.conftest import Bench

CALLS = list[str]()


class ShelfArgs(ToolArgs):
    """What to do, and where."""

    operation: Literal["look", "put", "burn"]
    place: str = "ada/shelf"


async def reach(args: Mapping[str, Any], context: ToolContext) -> ExternalEffects:
    if args["operation"] == "look":
        return ExternalEffects()
    if args.get("place") == "nowhere":
        raise ToolError("the library is closed; come back later")
    return ExternalEffects((args.get("place", "ada/shelf"),), irreversible=args["operation"] == "burn")


@tool(reads=lambda args: args["operation"] == "look", effects=reach)
async def shelf(args: ShelfArgs, context: ToolContext) -> str:
    """Look at books, put them away, burn them."""
    CALLS.append(args.operation)
    return args.operation


async def kind(bench: Bench, mode: str, said: str = "", **args: Any) -> tuple[str, str]:
    context = replace(bench.context(mode=mode), user_text=said)
    verdict = await judge(bench.call("shelf", args), context)
    return verdict.kind, verdict.why


async def test_what_reads_runs_in_every_mode_and_what_writes_goes_by_the_mode(bench: Bench) -> None:
    bench.add(shelf)
    bench.services.account.name = "ada"
    assert [(await kind(bench, mode, operation="look"))[0] for mode in ("ask", "auto", "plan", "yolo")] == ["allow"] * 4
    assert [(await kind(bench, mode, operation="put"))[0] for mode in ("ask", "auto", "plan", "yolo")] == [
        "ask",
        "allow",
        "deny",
        "allow",
    ]


async def test_what_cannot_be_taken_back_must_be_named_even_in_the_own_namespace(bench: Bench) -> None:
    bench.add(shelf)
    bench.services.account.name = "ada"
    verdict, why = await kind(bench, "auto", operation="burn")
    assert (verdict, "would delete or move ada/shelf, which the user did not name" in why) == ("deny", True)
    assert (await kind(bench, "auto", "please burn ada/shelf", operation="burn"))[0] == "allow"


async def test_a_reach_that_cannot_be_found_out_is_refused_with_its_reason(bench: Bench) -> None:
    bench.add(shelf)
    verdict, why = await kind(bench, "auto", "to nowhere", operation="put", place="nowhere")
    assert verdict == "deny"
    assert why == "it is not known what shelf would reach: the library is closed; come back later"
    assert (await kind(bench, "ask", operation="put", place="ada/x"))[1] == "shelf would write to ada/x"


async def test_after_a_crash_a_call_that_only_reads_is_run_again_and_another_is_reported(bench: Bench) -> None:
    bench.add(shelf)
    bench.services.account.name = "ada"
    CALLS.clear()
    for operation, expected in (("look", "done"), ("put", "interrupted")):
        call, context = bench.call("shelf", {"operation": operation}), bench.context()
        await bench.store.journal.start(call.key(context.thread_id), "shelf", "digest")
        assert (await run_call(call, context)).status == expected
    assert CALLS == ["look"]
