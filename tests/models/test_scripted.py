from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from ml_intern.configs.errors import ConfigurationError, ModelFailed
from ml_intern.graph.events import emitter
from ml_intern.models.gateway import ModelReply, ModelRequest, Models
from ml_intern.models.transports.base import Timeouts
from ml_intern.models.transports.scripted import filled
from ml_intern.store.store import Store


class Play:
    """Plays a step of a script: play(steps, *messages, step=None). `events` holds what was emitted."""

    def __init__(self, models: Models, folder: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self._models = models
        self._folder = folder
        self._numbers = count()

    async def __call__(self, steps: object, *messages: AnyMessage, **fields: Any) -> ModelReply:
        path = self._folder / f"script{next(self._numbers)}.yaml"
        path.write_text(steps if isinstance(steps, str) else yaml.safe_dump(steps))
        request = ModelRequest(f"scripted:{path}", [SystemMessage("s"), HumanMessage("h"), *messages], **fields)
        return await self._models.complete(request, emitter(self.events.append))


@pytest.fixture
async def play(store: Store, tmp_path: Path) -> AsyncIterator[Play]:
    models = Models(store.ledger, waits=Timeouts(retries=2, first_backoff_s=0.01), environ={})
    yield Play(models, tmp_path)
    await models.close()


def result(text: str) -> ToolMessage:
    return ToolMessage(text, tool_call_id="c")


async def test_steps_follow_the_replies_of_the_thread(play: Play) -> None:
    steps = [{"text": "first"}, {"text": "second"}]

    assert (await play(steps)).message.content == "first"
    assert (await play(steps, AIMessage("first"))).message.content == "second"


async def test_the_callers_step_holds_where_compaction_removed_replies(play: Play) -> None:
    assert (await play([{"text": "first"}, {"text": "second"}], step=1)).message.content == "second"


async def test_a_summary_is_played_when_the_conversation_is_compacted(play: Play) -> None:
    steps = [{"summary": "what happened"}, {"text": "first"}]

    assert (await play(steps, source="compaction")).message.content == "what happened"
    assert (await play(steps)).message.content == "first"


async def test_calls_get_ids_and_strict_arguments(play: Play) -> None:
    reply = await play([{"tool_calls": [{"name": "bash", "args": {"command": "ls"}}, {"name": "bash"}]}])

    assert [call["args"] for call in reply.message.tool_calls] == [{"command": "ls"}, {}]
    assert len({call["id"] for call in reply.message.tool_calls}) == 2
    assert reply.finish_reason == "tool_calls"


async def test_a_script_costs_nothing_unless_it_says_so(play: Play) -> None:
    assert (await play([{"text": "free"}])).cost_usd == 0

    reply = await play([{}, {"text": "dear", "usage": {"input_tokens": 9, "cost_usd": 1.5}}], step=1)

    assert (reply.cost_usd, reply.usage.input_tokens) == (1.5, 9)


async def test_text_streams_word_by_word(play: Play) -> None:
    await play([{"text": "three short words\n"}])

    assert [event["data"]["text"] for event in play.events if event["type"] == "assistant_chunk"] == [
        "three ", "short ", "words\n",
    ]  # fmt: skip


async def test_values_come_from_the_newest_result_that_has_them(play: Play) -> None:
    steps = [{"text": "${result:acc=([0-9.]+)} of ${result:(\\d{3}) images}"}]

    reply = await play(steps, result("acc=0.1 and 360 images"), result("acc=0.9"), step=0)

    assert reply.message.content == "0.9 of 360"


def test_values_are_filled_in_nested_arguments() -> None:
    value = {"files": [{"text": "x = ${result:x: (\\w+)}"}], "count": 3}

    assert filled(value, [result("x: ok")]) == {"files": [{"text": "x = ok"}], "count": 3}


@pytest.mark.parametrize(
    ("steps", "messages", "words"),
    [
        ([{"text": "one"}], [AIMessage("one")], "has 1 step and no step 2"),
        ([{"text": "a", "expect": "needle"}], [result("hay")], "expects 'needle'"),
        ([{"text": "${result:(x)}"}], [result("y")], "no tool result matches"),
        ([{"text": "${result:(}"}], [result("y")], "not a regular expression"),
        ([{"error": "the end of the world"}], [], "the end of the world"),
    ],
)
async def test_a_script_that_cannot_go_on_fails_in_one_line(
    play: Play, steps: list[Any], messages: list[AnyMessage], words: str
) -> None:
    with pytest.raises(ModelFailed, match=words):
        await play(steps, *messages)


async def test_expected_text_is_looked_for_in_the_newest_results_only(play: Play) -> None:
    history: list[AnyMessage] = [result("needle"), AIMessage("first"), result("hay")]

    with pytest.raises(ModelFailed, match="expects 'needle'"):
        await play([{"text": "first"}, {"text": "second", "expect": "needle"}], *history)


async def test_a_scripted_fault_goes_through_the_fault_table(play: Play) -> None:
    reply = await play([{"text": "done", "error": {"status": 429, "message": "slow", "retry_after": 0.01, "times": 2}}])

    assert reply.message.content == "done"
    waits = [event["data"] for event in play.events if event["type"] == "error"]
    assert [wait["retry_in_s"] for wait in waits] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("text: no list", "not a list of steps"),
        ("- text: [1]", "step 1: text"),
        ("- {txt: typo}", "step 1: txt"),
        ("- 'open", "not YAML"),
    ],
)
async def test_a_file_that_is_no_script_is_named(play: Play, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as raised:
        await play(text)

    assert "\n" not in str(raised.value)


async def test_a_missing_script_is_named(store: Store) -> None:
    models = Models(store.ledger, environ={})

    with pytest.raises(ConfigurationError, match="cannot read the script"):
        await models.complete(ModelRequest("scripted:/no/such.yaml", []), emitter(list[dict[str, Any]]().append))
