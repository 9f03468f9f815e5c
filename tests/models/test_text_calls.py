"""Tool calls as text: what a model writes becomes calls, however it is cut into fragments; the history becomes text."""

from collections.abc import AsyncGenerator

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from ml_intern.models.reply import Draft
from ml_intern.models.request import ModelRequest, ReplyPart, Usage
from ml_intern.models.text_calls import as_text, with_calls
from tests.models.conftest import TOOLS

LS = '{"name": "bash", "args": {"command": "ls"}}'
CALL = f"```tool\n{LS}\n```"
CODE = '```python\nprint({"name": "bash", "args": {}})\n```'


async def read(text: str, size: int) -> AIMessage:
    """The message of a reply that arrives in fragments of this size."""

    async def parts() -> AsyncGenerator[ReplyPart, None]:
        for start in range(0, len(text), size):
            yield ReplyPart(text=text[start : start + size])
        yield ReplyPart(finish="stop")

    draft = Draft("m")
    async for part in with_calls(parts(), TOOLS):
        draft.add(part)
    return draft.message("m", Usage(), ())


@pytest.mark.parametrize("size", [1, 3, 1_000])
@pytest.mark.parametrize(
    ("text", "shown", "called"),
    [
        ("Only text.", "Only text.", []),
        (f"I look.\n{CALL}", "I look.\n", [{"command": "ls"}]),
        (f"{CALL}\n{CALL}\n", "", [{"command": "ls"}] * 2),
        (f"{CALL}\nResult of bash:\nnotes.txt", "", [{"command": "ls"}]),
        (f"```json\n{LS}\n```", "", [{"command": "ls"}]),
        (f"```\n{LS}\n```", "", [{"command": "ls"}]),
        ('```tool\n{"name": "bash", "arguments": {"command": "ls"}}\n```', "", [{"command": "ls"}]),
        (f"```tool\n{LS}", "", [{"command": "ls"}]),
        (CODE, CODE, []),
        (f"{CODE}\n{CALL}", f"{CODE}\n", [{"command": "ls"}]),
        ('```json\n{"rate": 0.1}\n```\nThat is it.', '```json\n{"rate": 0.1}\n```\nThat is it.', []),
        ('```json\n{"name": "unknown", "args": {}}\n```', '```json\n{"name": "unknown", "args": {}}\n```', []),
        ("Use `ls` and ``x``, or ~3 files.", "Use `ls` and ``x``, or ~3 files.", []),
        ("An open fence\n```", "An open fence\n```", []),
    ],
)
async def test_blocks_are_calls_and_everything_else_is_text(
    text: str, shown: str, called: list[dict[str, str]], size: int
) -> None:
    message = await read(text, size)
    assert message.content == shown
    assert [call["args"] for call in message.tool_calls] == called
    assert "invalid_calls" not in message.additional_kwargs


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        ('```tool\n{"name": "bash", "args": {"command": "l', "bash", "not valid JSON"),
        ('```tool\n{"name": "bash", "args": {"command": ls}}\n```', "bash", "not valid JSON"),
        ('```tool\n{"name": "bash", "args": [1]}\n```', "bash", "must be a JSON object"),
        ('```tool\n{"command": "ls"}\n```', "", "does not name a tool"),
    ],
)
async def test_an_invalid_block_is_an_invalid_call_that_never_runs(text: str, name: str, problem: str) -> None:
    message = await read(text, 5)
    [call] = message.tool_calls
    [invalid] = message.additional_kwargs["invalid_calls"].values()
    assert (call["name"], call["args"]) == (name, {})
    assert problem in invalid["error"]


def test_the_history_is_text_with_alternating_roles() -> None:
    calls = [{"name": "bash", "args": {"command": name}, "id": name} for name in ("ls", "pwd")]
    request = ModelRequest(
        "m",
        [
            SystemMessage("be brief"),
            HumanMessage("go"),
            AIMessage("I look.", tool_calls=calls),
            ToolMessage("a.txt", tool_call_id="ls", name="bash"),
            ToolMessage([{"type": "text", "text": "/w"}], tool_call_id="pwd", name="bash"),
            HumanMessage("and?"),
        ],
        tools=TOOLS,
    )
    sent = as_text(request)
    assert sent.tools == ()
    assert [message.type for message in sent.messages] == ["system", "human", "ai", "human"]
    assert sent.messages[0].text.startswith("be brief\n\n# Calling tools")
    assert '## bash\n\nArguments: {"type":"object","properties":{}}' in sent.messages[0].text
    assert sent.messages[2].text == f"I look.\n{CALL}\n{CALL.replace('ls', 'pwd')}"
    assert not getattr(sent.messages[2], "tool_calls", [])
    assert [block["text"] for block in sent.messages[3].content if isinstance(block, dict)] == [
        "Result of bash:\na.txt", "Result of bash:\n", "/w", "and?",
    ]  # fmt: skip
    assert as_text(ModelRequest("m", [HumanMessage("go")])).messages == [HumanMessage("go")]
