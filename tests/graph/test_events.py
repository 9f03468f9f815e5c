"""The names and fields of events are frozen, because every interface depends on them."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from ml_intern.graph.events import EVENTS, Listeners, emitter

FROZEN = {
    "ready": "model tools version cwd approval_mode sandbox max_iterations max_budget_usd unpriced_models notes",
    "resumed": "title turns moved_from pending interrupted ended",
    "processing": "turn text id",
    "steered": "turn text id",
    "queue": "messages paused",
    "assistant_chunk": "message_id kind text",
    "assistant_stream_end": "message_id partial",
    "assistant_message": "message_id text reasoning tool_calls",
    "tool_call": "id name args message_id",
    "tool_request": "id call_id name args",
    "hook": "hook command tool seconds status text",
    "tool_log": "id name text",
    "tool_output": "id name text ok status seconds artifact images",
    "tool_state_change": "id name state",
    "approval_required": "requests configs since",
    "approval_answered": "by device answers",
    "plan_update": "steps",
    "usage": "model source input_tokens output_tokens cached_tokens cache_write_tokens reasoning_tokens cost_usd "
    "total_cost_usd",
    "budget": "spent_usd cap_usd unpriced_requests",
    "job_update": "id state text",
    "compacted": "before_tokens after_tokens removed artifact",
    "interrupted": "reason",
    "undo_complete": "direction turns text notes",
    "error": "message remedy exit_code retry_in_s",
    "evidence": "status level claims findings locks incomplete statements goal holdout evaluation",
    "turn_complete": "turn status text iterations",
    "shutdown": "reason",
    "result": "status exit_code text usage cost_usd iterations thread_id unverified evidence",
}


def test_names_and_fields_are_frozen() -> None:
    assert {name: " ".join(spec.fields) for name, spec in EVENTS.items()} == FROZEN


def test_an_event_with_other_fields_raises() -> None:
    sent: list[object] = []
    emit = emitter(sent.append)
    emit("interrupted", reason="because")
    with pytest.raises(ValueError, match="interrupted takes"):
        emit("interrupted", why="because")
    assert sent == [{"type": "interrupted", "data": {"reason": "because"}}]


async def test_events_of_a_run_reach_its_listener_from_any_thread_until_the_run_is_cancelled() -> None:
    listeners, begun, seen = Listeners(), asyncio.Event(), list[tuple[Mapping[str, Any], bool]]()
    loop = asyncio.get_running_loop()

    def publish(event: Mapping[str, Any]) -> None:
        seen.append((event, asyncio.get_running_loop() is loop))

    async def run() -> None:
        with listeners.added("t", publish):
            take = listeners.get("t")
            assert take is not None
            take({"type": "first"})
            await asyncio.to_thread(take, {"type": "second"})
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                take({"type": "late"})

    task = asyncio.create_task(run())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert seen == [({"type": "first"}, True), ({"type": "second"}, True)]
    assert listeners.get("t") is None
