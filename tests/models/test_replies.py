"""What a reply becomes, over both transports."""

import json

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from tests.fakes.model_server import Call, Reply
from tests.models.conftest import TOOLS, Bench


async def test_text_and_reasoning_stream_in_order_and_arrive_whole(bench: Bench) -> None:
    bench.server.say(Reply(text="The answer is forty-two.", reasoning="Let me think about it."))

    reply = await bench.ask()

    assert reply.message.content == "The answer is forty-two." == bench.shown()
    assert reply.message.additional_kwargs["reasoning_content"] == "Let me think about it." == bench.shown("reasoning")
    assert reply.finish_reason == "stop"
    assert bench.data("assistant_stream_end") == [{"message_id": reply.message.id, "partial": False}]


async def test_fragmented_parallel_calls_are_put_together_in_order(bench: Bench) -> None:
    arguments = [json.dumps({"command": f"echo {word} {'x' * 30}"}) for word in ("one", "two", "three")]
    bench.server.say(Reply(calls=[Call("bash", text, f"call_{n}") for n, text in enumerate(arguments)]))

    reply = await bench.ask(tools=TOOLS)

    assert [call["args"] for call in reply.message.tool_calls] == [json.loads(text) for text in arguments]
    assert [call["id"] for call in reply.message.tool_calls] == ["call_0", "call_1", "call_2"]
    assert reply.finish_reason == "tool_calls"
    assert "invalid_calls" not in reply.message.additional_kwargs


async def test_usage_is_counted_emitted_and_entered_in_the_ledger(chat: Bench) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 30,
        "total_tokens": 130,
        "prompt_tokens_details": {"cached_tokens": 80},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    chat.server.say(Reply(text="hi", usage=usage))

    reply = await chat.ask()

    counts = {"input_tokens": 100, "output_tokens": 30, "cached_tokens": 80, "reasoning_tokens": 20}
    assert {name: getattr(reply.usage, name) for name in counts} == counts
    assert not reply.usage.estimated
    (event,) = chat.data("usage")
    assert {name: event[name] for name in counts} == counts
    assert reply.message.usage_metadata is not None
    assert reply.message.usage_metadata["total_tokens"] == 130
    totals = await chat.store.ledger.total("t")
    assert (totals.requests, totals.input_tokens, totals.cached_tokens) == (1, 100, 80)


async def test_missing_usage_is_estimated_marked_and_of_unknown_cost(bench: Bench) -> None:
    bench.server.say(Reply(text="x" * 400, usage=None))

    reply = await bench.ask(messages=[SystemMessage("y" * 200), HumanMessage("z" * 200)])

    assert reply.usage.estimated
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (100, 100)
    assert reply.cost_usd is None
    assert (await bench.store.ledger.total("t")).unknown_cost_requests == 1


async def test_an_unknown_price_is_none_not_zero(bench: Bench) -> None:
    reply = await bench.ask()

    assert reply.cost_usd is None
    assert bench.data("usage")[0]["cost_usd"] is None


async def test_missing_and_repeated_call_ids_are_minted(bench: Bench) -> None:
    bench.server.say(
        Reply(calls=[Call("bash", id="same"), Call("bash", id="same"), Call("bash", id=None), Call("bash", id="old")])
    )

    reply = await bench.ask(tools=TOOLS, known_call_ids=frozenset({"old"}))

    ids = [call["id"] for call in reply.message.tool_calls]
    assert len(set(ids)) == 4
    assert all(ids)
    assert ids[0] == "same"
    assert "old" not in ids


async def test_calls_after_the_hundredth_do_not_run(bench: Bench) -> None:
    bench.server.say(Reply(calls=[Call("bash", json.dumps({"n": n}), f"call_{n}") for n in range(102)]))

    reply = await bench.ask(tools=TOOLS)

    assert len(reply.message.tool_calls) == 102
    assert set(reply.message.additional_kwargs["invalid_calls"]) == {"call_100", "call_101"}
    assert reply.message.tool_calls[99]["args"] == {"n": 99}


async def test_a_call_cut_by_the_length_limit_is_invalid_and_never_completed(bench: Bench) -> None:
    bench.server.say(Reply(calls=[Call("bash", '{"command": "rm -rf /tmp/x')], finish="length"))

    reply = await bench.ask(tools=TOOLS)

    assert reply.finish_reason == "length"
    assert reply.message.tool_calls[0]["args"] == {}
    assert reply.message.additional_kwargs["invalid_calls"]["call_1"]["raw"] == '{"command": "rm -rf /tmp/x'


async def test_numbers_a_checkpoint_cannot_hold_make_a_call_invalid(bench: Bench) -> None:
    arguments = ['{"n": NaN}', '{"n": 1180591620717411303424}', "[1]", '{"n": 1} and more', '{"n": 9007199254740993}']
    bench.server.say(Reply(calls=[Call("bash", text, f"call_{n}") for n, text in enumerate(arguments)]))

    reply = await bench.ask(tools=TOOLS)

    assert set(reply.message.additional_kwargs["invalid_calls"]) == {"call_0", "call_1", "call_2", "call_3"}
    assert reply.message.tool_calls[4]["args"] == {"n": 9007199254740993}


async def test_finish_reasons_are_told_apart(bench: Bench) -> None:
    bench.server.say(
        Reply(text="a", finish="length"), Reply(text="", finish="content_filter"), Reply(text="", finish="stop")
    )

    found = [(await bench.ask()).finish_reason for _ in range(3)]

    assert found == ["length", "content_filter", "stop"]


async def test_an_empty_reply_is_handed_on_as_it_is(bench: Bench) -> None:
    bench.server.say(Reply(text=""))

    reply = await bench.ask()

    assert reply.message.content == ""
    assert reply.message.tool_calls == []
    assert reply.finish_reason == "stop"


async def test_without_streaming_the_reply_is_the_same_and_no_chunk_is_shown(chat: Bench) -> None:
    chat.server.say(
        Reply(text="whole", reasoning="thought", calls=[Call("bash", '{"command": "ls"}'), Call("bash", '{"a')])
    )

    reply = await chat.ask(stream=False, tools=TOOLS)

    assert reply.message.content == "whole"
    assert reply.message.additional_kwargs["reasoning_content"] == "thought"
    assert [call["args"] for call in reply.message.tool_calls] == [{"command": "ls"}, {}]
    assert len(reply.message.additional_kwargs["invalid_calls"]) == 1
    assert chat.data("assistant_chunk") == []
    assert not chat.server.asked[0].json.get("stream")


async def test_lone_surrogates_never_reach_messages_or_events(bench: Bench) -> None:
    bench.server.say(Reply(text="broken \ud800 half", calls=[Call("bash", '{"command": "\\udfff"}')]))

    reply = await bench.ask(tools=TOOLS)

    reply.message.model_dump_json().encode()
    json.dumps(bench.events, ensure_ascii=False).encode()
    assert reply.message.tool_calls[0]["args"] == {"command": "\ufffd"}


async def test_the_conversation_goes_out_in_openai_shape(chat: Bench) -> None:
    history = [
        SystemMessage("rules"),
        HumanMessage("go"),
        AIMessage("", tool_calls=[{"name": "odd name!", "args": {"a": "ü"}, "id": "c1"}]),
        ToolMessage("done", tool_call_id="c1"),
    ]

    await chat.ask(messages=history, tools=TOOLS, params={"temperature": 0.5})

    sent = chat.server.asked[0].json
    assert sent["messages"] == [
        {"role": "system", "content": "rules"},
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "odd_name_", "arguments": '{"a": "ü"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
    ]
    assert sent["tools"] == TOOLS
    assert (sent["model"], sent["temperature"]) == ("fake", 0.5)
    assert chat.server.asked[0].headers["authorization"] == "Bearer sk-very-secret"


async def test_servers_that_send_every_call_as_index_0_are_understood(direct: Bench) -> None:
    direct.server.say(Reply(calls=[Call("bash", '{"n": 1}', "a"), Call("bash", '{"n": 2}', "b")], one_index=True))

    reply = await direct.ask(tools=TOOLS)

    assert [call["args"] for call in reply.message.tool_calls] == [{"n": 1}, {"n": 2}]
