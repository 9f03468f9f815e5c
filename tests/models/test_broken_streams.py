"""Replies that break off, stall or are cancelled, over both transports."""

import asyncio
from collections.abc import Callable

import pytest

from ml_intern.models.transports.base import Timeouts
from tests.fakes.model_server import Call, Reply, error
from tests.models.conftest import TOOLS, Bench


@pytest.mark.parametrize(
    "broken",
    [
        Reply(text="half a sentence that", cut_after=3),
        Reply(text="half a sentence that", error_after=3),
        Reply(text="half a sentence that", finish=None),
    ],
    ids=["cut", "error event", "no end"],
)
async def test_a_reply_broken_in_the_middle_is_discarded_and_asked_for_again(bench: Bench, broken: Reply) -> None:
    bench.server.say(broken, Reply(text="the whole sentence"))

    reply = await bench.ask()

    assert reply.message.content == "the whole sentence"
    first, second = bench.data("assistant_stream_end")
    assert first["partial"]
    assert second == {"message_id": reply.message.id, "partial": False}
    assert first["message_id"] != second["message_id"]
    assert len(bench.data("error")) == 1
    totals = await bench.store.ledger.total("t")
    assert (totals.requests, totals.unknown_cost_requests) == (2, 2)


async def test_a_reply_cut_inside_arguments_yields_no_call(bench: Bench) -> None:
    whole = Call("bash", '{"command": "rm -rf build/cache"}')
    bench.server.say(Reply(calls=[whole], cut_after=4), Reply(calls=[whole], finish=None), Reply(text="nothing to run"))

    reply = await bench.ask(tools=TOOLS)

    assert reply.message.tool_calls == []
    assert reply.message.content == "nothing to run"


@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("transport", ["direct", "litellm"])
async def test_a_stalled_stream_is_tried_again(open_bench: Callable[..., Bench], transport: str, after: int) -> None:
    bench = open_bench(transport, Timeouts(idle_s=0.3, retries=1, first_backoff_s=0.01))
    bench.server.say(Reply(text="never finished", stall_after=after), Reply(text="finished"))

    reply = await bench.ask()

    assert reply.message.content == "finished"
    assert "sent no content for 0.3 s" in bench.data("error")[0]["message"]


async def test_cancelling_hangs_up_at_once_and_leaves_nothing_running(chat: Bench) -> None:
    chat.server.say(Reply(text="a long story", stall_after=2))
    before = asyncio.all_tasks()
    asking = asyncio.create_task(chat.ask())
    await chat.until("assistant_chunk")

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert await asyncio.to_thread(chat.server.hung_up.wait, 10)
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() - before <= set()
    assert chat.data("assistant_stream_end")[0]["partial"]
    totals = await chat.store.ledger.total("t")
    assert (totals.open_requests, totals.unknown_cost_requests) == (0, 1)


async def test_a_request_cancelled_before_the_first_data_has_an_unknown_cost(direct: Bench) -> None:
    direct.server.say(Reply(text="a long story", stall_after=0))
    asking = asyncio.create_task(direct.ask())
    assert await asyncio.to_thread(direct.server.arrived.wait, 10)

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert direct.data("assistant_chunk") == []
    totals = await direct.store.ledger.total("t")
    assert (totals.open_requests, totals.unknown_cost_requests, totals.known_cost_usd) == (0, 1, None)


async def test_a_wait_can_be_cancelled(bench: Bench) -> None:
    bench.server.say(error(429, "later", retry_after="200"))
    asking = asyncio.create_task(bench.ask())
    await bench.until("error")

    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_an_answer_that_is_no_reply_is_a_passing_fault(direct: Bench) -> None:
    junk = Reply(body=b"{}", headers={"content-type": "application/json"})
    direct.server.say(junk, Reply(body=b"data: {oops\n\n", headers={"content-type": "text/event-stream"}))

    reply = await direct.ask()

    assert reply.message.content == "ok"
    assert len(direct.data("error")) == 2


async def test_a_whole_reply_to_a_streamed_request_is_read(direct: Bench) -> None:
    body = b'{"choices": [{"message": {"content": "not streamed"}, "finish_reason": "stop"}]}'
    direct.server.say(Reply(body=body, headers={"content-type": "application/json"}))

    assert (await direct.ask()).message.content == "not streamed"


@pytest.mark.parametrize("finish", ["error", "abort"])
async def test_an_engine_that_died_is_asked_again(direct: Bench, finish: str) -> None:
    direct.server.say(Reply(text="half", finish=finish), Reply(text="whole"))

    assert (await direct.ask()).message.content == "whole"


async def test_a_call_the_provider_could_not_read_is_asked_for_again(direct: Bench) -> None:
    direct.server.say(error(400, "Failed to call a function", "tool_use_failed"), Reply(text="better"))

    assert (await direct.ask()).message.content == "better"
