"""A compacted conversation is accepted by every provider and preserves the task and the typed text."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from ml_intern.graph.state import estimate_tokens, is_user_message, note, typed_text
from ml_intern.nodes.compaction.shorten import Summarise, TokenAllowance, shortened
from tests.nodes.test_history import calls_are_paired

CALLS = ("a", "b", "c")
texts = st.integers(0, 3_000).map(lambda length: "x" * length)


@st.composite
def conversations(draw: st.DrawFn) -> list[AnyMessage]:
    """Generate turns as the loop writes them: a message, replies with calls and results, corrections, an answer."""
    messages: list[AnyMessage] = []
    for turn in range(draw(st.integers(1, 4))):
        messages.append(HumanMessage(f"task {turn} {draw(texts)}", id=f"user{turn}"))
        for step in range(draw(st.integers(0, 5))):
            id = f"m{turn}.{step}"
            names = draw(st.lists(st.sampled_from(CALLS), max_size=3, unique=True))
            calls = [{"name": "bash", "args": {"command": draw(texts)}, "id": f"{id}{name}"} for name in names]
            thinking = {"thinking_blocks": [{"signature": id}]} if draw(st.booleans()) else {}
            messages.append(AIMessage(draw(texts), id=id, tool_calls=calls, additional_kwargs=thinking))
            messages += [ToolMessage(draw(texts), tool_call_id=f"{id}{name}", id=f"{id}:{name}") for name in names]
            if not names:
                messages.append(note("go on", id=f"note{id}"))
        messages.append(AIMessage(f"answer {turn}", id=f"answer{turn}"))
    return messages[: draw(st.integers(2, len(messages)))]


def summariser(words: str) -> Summarise:
    async def summarise(middle: Sequence[AnyMessage], most: int, /) -> str:
        return words

    return summarise


def shortened_to(allowance: TokenAllowance, short: AnyMessage, whole: AnyMessage) -> bool:
    """Return whether `short` is the same message, shortened, with the path of the full text."""
    length = len(whole.text) * 2 // 3
    head = whole.text[: min(length, 20)]
    return short.id == whole.id and short.text.startswith(head) and "the-artifact.md" in short.text


def made_whole(messages: list[AnyMessage]) -> list[AnyMessage]:
    """Drop the trailing unanswered calls: a compaction runs only when every call has its result."""
    while not calls_are_paired(messages):
        messages = messages[:-1]
    return messages


@settings(max_examples=150)
@given(
    conversations().map(made_whole).filter(lambda messages: len(messages) > 1),
    st.integers(50, 8_000),
    st.floats(1, 3),
    st.sampled_from(["", "what happened", "y" * 4_000]),
    st.sampled_from([(False, False), (False, True), (True, False)]),
)
async def test_the_result_is_valid_fits_and_preserves_the_task_and_the_typed_text(
    messages: list[AnyMessage], tokens: int, scale: float, summary: str, how: tuple[bool, bool]
) -> None:
    allowance, (manual, hard) = TokenAllowance(tokens, scale), how

    short = await shortened(messages, allowance, summariser(summary), "the-artifact.md", manual=manual, hard=hard)

    if short is None:
        return
    assert allowance.size(short) < tokens
    assert short[0] is messages[0] or shortened_to(allowance, short[0], messages[0])
    assert calls_are_paired(short)
    assert not any(one.type == other.type == "human" for one, other in pairwise(short))
    assert not any(message.type == "system" for message in short)
    assert short[-1].type == messages[-1].type
    before = {message.id: message for message in messages}
    replies = [message for message in short if isinstance(message, AIMessage) and message.id in before]
    assert all(message is before[message.id] for message in replies)
    words = typed_text(short)
    assert all(str(message.content) in words for message in messages if is_user_message(message))


@given(conversations().map(made_whole).filter(lambda messages: len(messages) > 1))
async def test_a_conversation_with_a_long_output_always_fits_into_half(messages: list[AnyMessage]) -> None:
    call = {"name": "bash", "args": {"command": "cat log"}, "id": "long"}
    long: list[AnyMessage] = [
        AIMessage("", id="reading", tool_calls=[call]),
        ToolMessage("x" * 80_000, tool_call_id="long", id="log"),
    ]
    messages = [messages[0], *long, *messages[1:]]
    allowance = TokenAllowance(estimate_tokens(messages) // 2)

    short = await shortened(messages, allowance, summariser("notes"), "the-artifact.md")

    assert short is not None
    assert allowance.size(short) < allowance.tokens


async def test_a_summary_on_request_is_used_only_if_the_conversation_gets_shorter() -> None:
    task, tail = HumanMessage("task", id="u"), HumanMessage("and now?", id="v")
    messages: list[AnyMessage] = [
        task,
        AIMessage("x" * 400, id="a"),
        note("go on", id="n"),
        AIMessage("y" * 400, id="b"),
        tail,
    ]
    allowance, used = TokenAllowance(10_000), list[bool]()
    for length in range(1, 1_000, 2):
        short = await shortened(messages, allowance, summariser("s" * length), "the-artifact.md", manual=True)
        used.append(short is not None)
        assert short is None or allowance.size(short) < allowance.size(messages)
    assert sorted(used, reverse=True) == used
    assert set(used) == {True, False}
