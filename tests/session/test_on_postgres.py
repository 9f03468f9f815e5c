"""Threads on PostgreSQL: the tests of the session, its turns and compaction once more, with LangGraph's own saver."""

from pathlib import Path

import pytest
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from ml_intern.graph.operations import UserInput
from tests.fakes.postgres import PostgresServer
from tests.session import test_compaction, test_queue, test_session, test_turns
from tests.session.conftest import Lab, turn

for module in (test_session, test_turns, test_compaction, test_queue):
    globals().update({name: test for name, test in vars(module).items() if name.startswith("test_")})
waiting = test_queue.waiting


@pytest.fixture
def lab(tmp_path: Path, postgres: PostgresServer) -> Lab:
    """The lab of the other tests, with a database of its own on a server."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    return Lab(tmp_path / "home", workspace, url=postgres.new_database())


async def test_nothing_of_the_thread_is_in_a_file(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "here"})) as session:
        await turn(session, UserInput("where?"))
        store = session.services.store
        held = await (await store.saver()).aget_tuple({"configurable": {"thread_id": session.thread_id}})
        assert isinstance(await store.saver(), AsyncPostgresSaver)
        assert held is not None
        latest = (await store.checkpoints.lineage(session.thread_id))[0]
        assert latest.id == held.config["configurable"]["checkpoint_id"]
    assert not list(lab.home.glob("*.db*"))
