"""Anthropic's own API, called directly and through litellm: signed thinking, cache marks, usage, and its faults."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from ml_intern.configs.errors import KeyMissing
from ml_intern.models.errors import ContextOverflow
from ml_intern.models.gateway import Models, ModelSettings
from ml_intern.store.store import Store
from tests.fakes.model_server import FakeModelServer, Reply, error
from tests.models.conftest import QUICK, TOOLS, Bench

MODEL = "anthropic/claude-sonnet-4-5-20250929"
EVENTS: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": [],
            "stop_reason": None,
            "usage": {
                "input_tokens": 10,
                "cache_read_input_tokens": 1000,
                "cache_creation_input_tokens": 100,
                "output_tokens": 1,
            },
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "First, look."}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2lnbmVk"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {}},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"command": '}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '"ls"}'}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 40}},
    {"type": "message_stop"},
]


def streamed(events: list[dict[str, Any]]) -> Reply:
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return Reply(body=body.encode(), headers={"content-type": "text/event-stream"})


@pytest.fixture(params=["directly", "through litellm"])
async def claude(request: pytest.FixtureRequest, server: FakeModelServer, store: Store) -> AsyncIterator[Bench]:
    environ = {"ANTHROPIC_API_KEY": "sk-ant-very-secret", "ANTHROPIC_API_BASE": server.url.removesuffix("/v1")}
    settings = ModelSettings(only_litellm=request.param == "through litellm")
    models = Models(store.ledger, waits=QUICK, environ=environ, settings=settings)
    yield Bench(server, store, models, MODEL)
    await models.close()


async def test_calls_thinking_usage_and_cost_are_read(claude: Bench) -> None:
    claude.server.say(streamed(EVENTS))

    reply = await claude.ask(tools=TOOLS, effort="low")

    assert reply.message.tool_calls[0]["args"] == {"command": "ls"}
    assert reply.message.tool_calls[0]["id"] == "toolu_1"
    assert reply.message.additional_kwargs["reasoning_content"] == "First, look."
    assert reply.finish_reason == "tool_calls"
    assert (reply.usage.input_tokens, reply.usage.cached_tokens, reply.usage.cache_write_tokens) == (1110, 1000, 100)
    assert reply.usage.output_tokens == 40
    assert claude.server.asked[0].json["max_tokens"] >= 32_000
    assert reply.cost_usd == pytest.approx(10 * 3e-06 + 1000 * 3e-07 + 100 * 3.75e-06 + 40 * 1.5e-05)


async def test_signed_thinking_goes_back_and_the_newest_messages_are_cached(claude: Bench) -> None:
    claude.server.say(streamed(EVENTS), streamed(EVENTS))
    start = [SystemMessage("be brief"), HumanMessage("hello")]
    message = (await claude.ask(messages=start, tools=TOOLS, effort="low")).message
    stored = AIMessage.model_validate_json(message.model_dump_json())

    await claude.ask(messages=[*start, stored, ToolMessage("x.py", tool_call_id="toolu_1")], tools=TOOLS, effort="low")

    sent = claude.server.asked[1].json
    thinking = sent["messages"][1]["content"][0]
    assert (thinking["thinking"], thinking["signature"]) == ("First, look.", "c2lnbmVk")
    assert sent["thinking"]["type"] in ("enabled", "adaptive")
    assert sent["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" in json.dumps(sent["messages"][-1])
    assert "cache_control" not in json.dumps(sent["messages"][1])


async def test_a_stream_without_its_end_is_asked_for_again(claude: Bench) -> None:
    claude.server.say(streamed(EVENTS[:7]), streamed(EVENTS))

    reply = await claude.ask(tools=TOOLS)

    assert reply.message.tool_calls[0]["args"] == {"command": "ls"}
    assert len(claude.data("error")) == 1
    assert len(claude.server.asked) == 2


async def test_an_error_event_is_waited_out(claude: Bench) -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    claude.server.say(streamed([*EVENTS[:4], overloaded]), streamed(EVENTS))

    reply = await claude.ask(tools=TOOLS)

    assert len(reply.message.tool_calls) == 1
    assert len(claude.data("error")) == 1


async def test_an_overflow_in_anthropics_wording_teaches_the_window(claude: Bench) -> None:
    claude.server.say(error(400, "prompt is too long: 208310 tokens > 200000 maximum"))

    with pytest.raises(ContextOverflow) as raised:
        await claude.ask()

    assert raised.value.tokens == 200_000


async def test_a_redirect_does_not_carry_the_key_in_anthropics_header(claude: Bench) -> None:
    with FakeModelServer() as thief:
        location = thief.url + "/messages"
        claude.server.say(Reply(status=307, body=b"", headers={"location": location}))

        with pytest.raises(Exception, match="redirects to"):
            await claude.ask()

        assert thief.asked == []


async def test_a_refused_key_is_named(claude: Bench) -> None:
    claude.server.say(error(401, "invalid x-api-key sk-ant-very-secret"))

    with pytest.raises(KeyMissing, match="ANTHROPIC_API_KEY") as raised:
        await claude.ask()

    assert "secret" not in str(raised.value)
