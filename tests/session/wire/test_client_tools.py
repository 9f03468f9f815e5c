"""Functions that a client offers as tools: called over its connection, under approval and journal like any other."""

from typing import Any

import pytest

from ml_intern.graph import operations as ops
from ml_intern.session.protocol import Session
from tests.session.wire.conftest import Open, Raw, attach

LOOKUP: dict[str, Any] = {
    "name": "lookup",
    "description": "Look up a key.",
    "parameters": {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]},
}
CALL = {"tool_calls": [{"name": "lookup", "args": {"key": "a"}}]}
SAY = {"type": "user_input", "text": "go"}


async def offering(session: Session, *tools: dict[str, Any]) -> Raw:
    client = await attach(session.thread_id, client="mine")
    await client.ask(id="watch", watch={"after": None})
    reply = await client.ask(id="offer", do={"type": "offer_tools", "tools": list(tools)})
    assert "ok" in reply, reply
    return client


async def test_a_client_answers_the_calls_of_its_tool(opened: Open) -> None:
    async with opened(CALL, {"tool_calls": [{"name": "lookup", "args": {"key": 1}}]}, {"text": "found"}) as session:
        client = await offering(session, LOOKUP)
        await client.ask(id=1, do=SAY)
        request = await client.until("tool_request")
        assert (request["data"]["name"], request["data"]["args"]) == ("lookup", {"key": "a"})
        answer = {"type": "tool_result", "id": request["data"]["id"], "text": "7", "sources": ["a page"]}
        assert (await client.ask(id=2, do=answer)).get("ok")
        output = await client.until("tool_output")
        assert (output["data"]["id"], output["data"]["text"]) == (request["data"]["call_id"], "7")
        assert "key" in (await client.until("tool_output"))["data"]["text"]
        assert (await client.until("turn_complete"))["data"]["text"] == "found"
        assert "no call waits" in (await client.ask(id=3, do=answer))["error"]["message"]
        [ready] = [one["event"] for one in client.events if one["event"]["type"] == "ready"]
        assert "lookup" in ready["data"]["tools"]


async def test_it_needs_approval_unless_it_only_reads(opened: Open) -> None:
    steps = [CALL, {"tool_calls": [{"name": "look", "args": {"key": "b"}}]}, {"text": "done"}]
    async with opened(*steps, approval_mode="ask") as session:
        client = await offering(session, LOOKUP, {**LOOKUP, "name": "look", "read_only": True})
        await client.ask(id=1, do=SAY)
        [asked] = (await client.until("approval_required"))["data"]["requests"]
        assert (asked["name"], asked["args"]) == ("lookup", {"key": "a"})
        await client.ask(id=2, do={"type": "exec_approval", "decisions": {asked["id"]: {"type": "reject"}}})
        assert (await client.until("tool_request"))["data"]["name"] == "look"
        await session.submit(ops.Interrupt())
        await client.until("interrupted")


async def test_the_calls_of_a_client_that_is_gone_fail_with_the_reason(opened: Open) -> None:
    async with opened(CALL, CALL, {"text": "done"}) as session:
        client, other = await offering(session, LOOKUP), await attach(session.thread_id)
        await other.ask(id=1, watch={"after": None})
        await other.ask(id=2, do=SAY)
        await client.until("tool_request")
        client.close()
        first, second = [(await other.until("tool_output"))["data"] for _ in range(2)]
        assert (first["ok"], second["ok"]) == (False, False)
        assert "ended its connection during the call; it may have run in part" in first["text"]
        assert "the program that offers it is not connected" in second["text"]
        assert (await other.until("turn_complete"))["data"]["text"] == "done"


@pytest.mark.parametrize(
    "tool",
    [
        {**LOOKUP, "name": "bash"},
        {**LOOKUP, "name": "mcp__a__b"},
        {**LOOKUP, "name": "a b"},
        {**LOOKUP, "description": ""},
        {**LOOKUP, "parameters": {"type": "array"}},
        {**LOOKUP, "parameters": {"type": "object", "properties": 3}},
        {**LOOKUP, "timeout_s": 0},
        {**LOOKUP, "timeout_s": None},
    ],
)
async def test_a_tool_that_is_not_valid_is_refused_with_its_reason(opened: Open, tool: dict[str, Any]) -> None:
    async with opened() as session:
        client = await attach(session.thread_id)
        error = (await client.ask(id=1, do={"type": "offer_tools", "tools": [tool]}))["error"]
        assert error["message"]
        assert error["remedy"]
        assert (await client.ask(id=2, get="end")).get("value", 0) is None


async def test_two_clients_cannot_offer_one_name_and_an_offer_replaces_the_last(opened: Open) -> None:
    async with opened() as session:
        client, other = await offering(session, LOOKUP), await attach(session.thread_id)
        taken = await other.ask(id=1, do={"type": "offer_tools", "tools": [LOOKUP]})
        assert "already a tool lookup" in taken["error"]["message"]
        await client.ask(id=2, do={"type": "offer_tools", "tools": []})
        assert "ok" in await other.ask(id=2, do={"type": "offer_tools", "tools": [LOOKUP]})
