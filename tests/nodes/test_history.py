"""Repairing and shortening keep a conversation that every provider accepts."""

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from ml_intern.graph.state import estimate_tokens
from ml_intern.nodes.compaction.shorten import groups, join, shorten_outputs, split
from ml_intern.nodes.results import repair

CALLS = ("a", "b")


def asks(id: str, *calls: str) -> AIMessage:
    return AIMessage("", id=id, tool_calls=[{"name": "bash", "args": {}, "id": f"{id}{call}"} for call in calls])


def answers(id: str, call: str) -> ToolMessage:
    return ToolMessage("x" * 300, tool_call_id=f"{id}{call}", id=f"{id}:{call}")


piece = st.one_of(
    st.builds(lambda n: [HumanMessage("words", id=f"h{n}")], st.integers()),
    st.builds(
        lambda n, answered: [asks(f"m{n}", *CALLS), *(answers(f"m{n}", call) for call in answered)],
        st.integers(),
        st.sets(st.sampled_from(CALLS)),
    ),
    st.builds(lambda n: [answers(f"lost{n}", "a")], st.integers()),
)
histories = st.lists(piece, max_size=8, unique_by=lambda p: p[0].id).map(lambda parts: [m for p in parts for m in p])


def calls_are_paired(messages: list[AnyMessage]) -> bool:
    waiting: list[str] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in waiting:
                return False
            waiting.remove(message.tool_call_id)
        elif waiting:
            return False
        elif isinstance(message, AIMessage):
            waiting = [call["id"] or "" for call in message.tool_calls]
    return not waiting


def made_sound(history: list[AnyMessage]) -> list[AnyMessage]:
    repaired = repair(history)
    return history if repaired is None else repaired


@given(histories)
def test_after_repair_every_call_is_followed_by_exactly_one_result(history: list[AnyMessage]) -> None:
    assert calls_are_paired(made_sound(history))


@given(histories)
def test_a_complete_conversation_is_not_changed(history: list[AnyMessage]) -> None:
    assert repair(made_sound(history)) is None


@given(histories, st.integers(1, 5000))
def test_a_split_never_separates_calls_from_results(history: list[AnyMessage], keep: int) -> None:
    sound = made_sound(history)
    older, newest = split(sound, keep)
    assert older + newest == sound
    assert calls_are_paired(older)
    assert calls_are_paired(newest)


@given(histories, st.integers(1, 5000))
def test_a_joined_conversation_keeps_the_task_and_alternates_roles(history: list[AnyMessage], keep: int) -> None:
    sound = [HumanMessage("the task", id="task"), *made_sound(history)]
    older, tail = split(sound[1:], keep)
    words = [message for message in older if message.type == "human"]
    short = join(sound[0], "what happened", words, tail)
    assert short[0] is sound[0]
    assert calls_are_paired(short)
    assert [message.type for message in short[:2]] == ["human", "ai"]
    assert len(short) == 2 or short[2].type == "human"


def test_a_long_output_keeps_head_and_tail_and_names_the_file_with_the_full_text() -> None:
    long = ToolMessage("HEAD" + "x" * 9000 + "TAIL", tool_call_id="a", id="r")
    [short] = shorten_outputs([long], 1000, "the-artifact.md")
    assert short.text.startswith("HEAD")
    assert short.text.endswith("TAIL")
    assert "the-artifact.md" in short.text
    assert estimate_tokens([short]) < 400
    assert short.id == "r"


def test_an_output_at_the_limit_is_not_cut_and_a_cut_says_how_much_is_missing() -> None:
    whole = "x" * 1_000
    at_limit, over = (ToolMessage(text, tool_call_id="a", id="r") for text in (whole, whole + "y" * 50))
    assert shorten_outputs([at_limit], 1_000, "where")[0].text == whole
    assert (
        "[... 50 characters omitted; the full text is in where ...]" in shorten_outputs([over], 1_000, "where")[0].text
    )


def test_a_group_is_a_reply_with_its_results() -> None:
    history: list[AnyMessage] = [HumanMessage("q"), asks("m", "a"), answers("m", "a"), AIMessage("done")]
    assert [len(piece) for piece in groups(history)] == [1, 2, 1]


def test_a_split_of_messages_that_fit_keeps_all_of_them() -> None:
    messages: list[AnyMessage] = [
        HumanMessage("words", id="h"),
        asks("m", "a"),
        answers("m", "a"),
        HumanMessage("more", id="i"),
    ]
    assert split(messages, 10_000) == ([], messages)
    assert split(messages, 0) == (messages[:-1], messages[-1:])
