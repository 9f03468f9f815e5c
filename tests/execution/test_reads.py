"""A tool that reads with some arguments and writes with others: policy and crash recovery depend on the call."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from ml_intern.execution.call import ToolError
from ml_intern.execution.run import judge, run_call
from ml_intern.execution.tool import ExternalEffects, ToolArgs, ToolContext, tool
from tests.execution.conftest import Bench

CALLS = list[str]()


class ShelfArgs(ToolArgs):
    """An operation and its place."""

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


async def test_a_reading_call_runs_in_every_mode_and_a_writing_call_follows_the_mode(bench: Bench) -> None:
    bench.add(shelf)
    bench.services.account.name = "ada"
    assert [(await kind(bench, mode, operation="look"))[0] for mode in ("ask", "auto", "plan", "yolo")] == ["allow"] * 4
    assert [(await kind(bench, mode, operation="put"))[0] for mode in ("ask", "auto", "plan", "yolo")] == [
        "ask",
        "allow",
        "deny",
        "allow",
    ]


async def test_the_user_must_name_the_target_of_an_irreversible_call_even_in_their_namespace(bench: Bench) -> None:
    bench.add(shelf)
    bench.services.account.name = "ada"
    verdict, why = await kind(bench, "auto", operation="burn")
    assert (verdict, "would delete or move ada/shelf, which the user did not name" in why) == ("deny", True)
    assert (await kind(bench, "auto", "please burn ada/shelf", operation="burn"))[0] == "allow"


async def test_a_call_with_unknown_effects_is_refused_with_the_reason(bench: Bench) -> None:
    bench.add(shelf)
    verdict, why = await kind(bench, "auto", "to nowhere", operation="put", place="nowhere")
    assert verdict == "deny"
    assert why == "the effects of shelf are unknown: the library is closed; come back later"
    assert (await kind(bench, "ask", operation="put", place="ada/x"))[1] == "shelf would write to ada/x"


async def test_after_a_crash_a_reading_call_runs_again_and_a_writing_call_is_reported(bench: Bench) -> None:
    bench.add(shelf)
    bench.services.account.name = "ada"
    CALLS.clear()
    for operation, expected in (("look", "done"), ("put", "interrupted")):
        call, context = bench.call("shelf", {"operation": operation}), bench.context()
        await bench.store.journal.start(call.key(context.thread_id), "shelf", "digest")
        assert (await run_call(call, context)).status == expected
    assert CALLS == ["look"]
