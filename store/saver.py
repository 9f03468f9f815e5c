"""The checkpointer: LangGraph's SQLite saver on our connection, with a strict serializer."""

from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from store.database import Database


class Saver(AsyncSqliteSaver):
    """Checkpoints of all threads in the thread database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, serde=JsonPlusSerializer(allowed_msgpack_modules=[]))

    def get_next_version(self, current: Any, channel: None) -> Any:  # noqa: ARG002  the base class's signature
        """The next version of a channel: small integers keep checkpoints small."""
        return (current or 0) + 1
