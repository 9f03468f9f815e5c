"""The seam to other checkpointers: the tests of the session and its turns once more, on LangGraph's in-memory saver."""

from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from ml_intern.graph.operations import UserInput
from tests.session import test_compaction, test_session, test_turns
from tests.session.conftest import Lab, turn

for module in (test_session, test_turns, test_compaction):
    globals().update({name: test for name, test in vars(module).items() if name.startswith("test_")})


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """The lab of the other tests, except for where the checkpoints go."""
    saver = InMemorySaver()
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    return Lab(tmp_path / "home", workspace, make_saver=lambda store: saver)


async def test_the_checkpoints_are_in_the_other_saver_alone(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "here"})) as session:
        await turn(session, UserInput("where?"))
        store = session.services.store
        held = await (await store.saver()).aget_tuple({"configurable": {"thread_id": session.thread_id}})
        assert isinstance(await store.saver(), InMemorySaver)
        assert held is not None
        assert await store.checkpoints.lineage(session.thread_id) == []
