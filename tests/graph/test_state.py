"""The state of a checkpoint does not depend on how its writes were batched."""

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage

from ml_intern.graph.state import RECENT_CALLS, append_messages, append_recent, is_user_message, note, open_calls

ids = st.sampled_from([f"m{i}" for i in range(6)])
messages = st.one_of(
    st.builds(lambda id, text: HumanMessage(text, id=id), ids, st.text(max_size=3)),
    st.builds(lambda id: RemoveMessage(id=id), ids),
)
writes = st.lists(st.lists(messages, max_size=3), max_size=8)


@given(writes, st.integers(0, 8))
def test_folding_writes_in_two_batches_gives_the_same_conversation(batch: list[list[AnyMessage]], cut: int) -> None:
    whole = append_messages([], batch)
    assert append_messages(append_messages([], batch[:cut]), batch[cut:]) == whole


@given(st.lists(st.lists(st.text(max_size=2), max_size=20), max_size=8), st.integers(0, 8))
def test_recent_calls_are_bounded_and_batching_invariant(batch: list[list[str]], cut: int) -> None:
    whole = append_recent([], batch)
    assert append_recent(append_recent([], batch[:cut]), batch[cut:]) == whole
    assert len(whole) <= RECENT_CALLS


def test_a_known_id_is_replaced_in_place() -> None:
    first, second = HumanMessage("a", id="1"), HumanMessage("b", id="2")
    assert append_messages([first, second], [[HumanMessage("c", id="1")]]) == [HumanMessage("c", id="1"), second]


def test_plain_dicts_as_studio_sends_them_become_messages() -> None:
    [message] = append_messages([], [[{"role": "user", "content": "hello"}]])
    assert isinstance(message, HumanMessage)
    assert message.text == "hello"


def _asks(*call_ids: str) -> AIMessage:
    return AIMessage("", id="ai", tool_calls=[{"name": "bash", "args": {}, "id": id} for id in call_ids])


def test_open_calls_are_those_without_a_result_in_the_models_order() -> None:
    history: list[AnyMessage] = [_asks("a", "b", "c"), ToolMessage("done", tool_call_id="b")]
    message, calls = open_calls(history)
    assert message is history[0]
    assert [call["id"] for call in calls] == ["a", "c"]


def test_a_conversation_whose_calls_are_answered_has_no_open_calls() -> None:
    assert open_calls([_asks("a"), ToolMessage("done", tool_call_id="a"), HumanMessage("next")]) == (None, [])
    assert open_calls([]) == (None, [])


def test_a_note_of_the_loop_is_not_a_user_message() -> None:
    assert not is_user_message(note("go on", id="n"))
    assert is_user_message(HumanMessage("go on"))
