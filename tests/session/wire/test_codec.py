"""Operations and events as JSON: the schema is frozen, and what does not match it is refused with its reason."""

import contextlib
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_intern.configs.errors import EXIT_CODES, MLInternError, ThreadLocked, UsageError
from ml_intern.graph import operations as ops
from ml_intern.graph.events import Event
from ml_intern.session.wire import codec
from ml_intern.session.wire.schema import wire_schema

FROZEN = Path(__file__).with_name("schema.json")

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)
DECISIONS = st.fixed_dictionaries(
    {"type": st.sampled_from(["approve", "edit", "reject", "respond"])},
    optional={"message": st.text(), "args": st.dictionaries(st.text(), JSON), "always": st.just("folder")},
)
OFFERS = st.builds(
    ops.OfferTools,
    st.tuples(
        st.builds(ops.OfferedTool, st.text(), st.text(), st.dictionaries(st.text(), JSON), timeout_s=st.just(9.0))
    ),
)
IMAGES = st.lists(st.sampled_from(("data:image/png;base64,iVBORw0=", "data:image/webp;base64,AA+/")), max_size=2).map(
    tuple
)
MESSAGES = {one: st.builds(one, images=IMAGES) for one in (ops.UserInput, ops.EditQueued)}
APPROVALS = st.builds(ops.ExecApproval, st.dictionaries(st.text(), DECISIONS), by=st.text())


def bare(value: Any) -> Any:
    """The schema without its prose, which may change."""
    if isinstance(value, dict):
        prose = "properties" in value or "type" in value or "$ref" in value or "anyOf" in value or "enum" in value
        return {key: bare(one) for key, one in value.items() if not (prose and key in ("title", "description"))}
    return [bare(one) for one in value] if isinstance(value, list) else value


def test_the_schema_is_frozen() -> None:
    """A change that breaks clients needs another number. After others, write the file again."""
    assert bare(wire_schema()) == json.loads(FROZEN.read_text())


def test_every_operation_of_users_is_there_and_none_of_the_sessions_own() -> None:
    assert set(codec.OPERATIONS.values()) | set(codec.INTERNAL) == set(get_args(ops.Operation))
    for name in ("settle", "wake", "deliver", "disconnected", "shut down", "", None, 3, ["undo"]):
        with pytest.raises(UsageError, match="unknown operation"):
            codec.decode_operation({"type": name})


@pytest.mark.parametrize("type", codec.OPERATIONS.values())
@given(data=st.data())
def test_an_operation_comes_back_as_it_was(type: Any, data: st.DataObject) -> None:
    made: dict[Any, st.SearchStrategy[Any]] = {ops.ExecApproval: APPROVALS, ops.OfferTools: OFFERS, **MESSAGES}
    operation: ops.Operation = data.draw(made[type] if type in made else st.from_type(type))
    try:
        text = codec.line(codec.encode_operation(operation))
    except (ValueError, UnicodeError):
        return
    assert text.count(b"\n") == 1
    assert codec.decode_operation(codec.parse(text)) == operation


@pytest.mark.parametrize(
    "value",
    [
        {"type": "undo", "turns": "1"},
        {"type": "undo", "turns": 1.5},
        {"type": "undo", "files": "none"},
        {"type": "undo", "more": 1},
        {"type": "user_input"},
        {"type": "user_input", "text": None},
        {"type": "exec_approval", "decisions": {"a": {"type": "maybe"}}},
        {"type": "set_mode", "mode": "root"},
    ],
)
def test_what_does_not_match_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=str(value["type"])):
        codec.decode_operation(value)


@given(st.binary() | st.text().map(str.encode) | st.just(b"[" * 100_000) | st.just(b'{"a":NaN}'))
def test_garbage_is_one_kind_of_error(text: bytes) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(codec.parse(text), dict)


def test_an_event_comes_back_and_numbers_that_json_does_not_have_become_null() -> None:
    event = Event("usage", "t", 3, 1.5, {"cost_usd": None, "text": "a\u2028b\n\ud800"})
    assert (
        codec.decode_event(codec.parse(codec.line({**codec.encode_event(event), "data": {"cost_usd": None}}))).seq == 3
    )
    assert json.loads(codec.line({"a": float("nan"), "b": [float("inf")]})) == {"a": None, "b": [None]}


@pytest.mark.parametrize("type", codec.ERRORS.values())
def test_an_error_comes_back_with_its_exit_code(type: type[MLInternError]) -> None:
    error = codec.decode_error(codec.encode_error(type("a", "b")))
    assert (error.__class__, str(error), error.exit_code in EXIT_CODES) == (type, "a (b)", True)


def test_an_unknown_error_of_a_later_version_is_still_an_error() -> None:
    assert isinstance(codec.decode_error({"code": "later", "message": "m"}), MLInternError)
    assert not isinstance(codec.decode_error({"code": "later", "message": "m"}), ThreadLocked)
