"""The numbers of the events of each thread. They are reserved in blocks, so that none is given to two events."""

from ml_intern.store.connection import SqlConnection, ThreadDatabase


class EventNumbers:
    """The reserved event numbers of a database."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def last(self, thread_id: str) -> int:
        """Return the highest reserved number of a thread; 0 if there is none."""
        query = "SELECT reserved FROM event_numbers WHERE thread_id = ?"

        def read(connection: SqlConnection) -> int:
            found = connection.execute(query, (thread_id,)).fetchone()
            return int(found[0]) if found else 0

        return await self._database.read(read)

    def reserve(self, thread_id: str, number: int) -> None:
        """Raise the highest reserved number in the next transaction. One that is higher stays."""
        statement = (
            "INSERT INTO event_numbers (thread_id, reserved) VALUES (?, ?) "
            "ON CONFLICT (thread_id) DO UPDATE SET reserved = excluded.reserved "
            "WHERE excluded.reserved > event_numbers.reserved"
        )
        self._database.write_later(lambda connection: connection.execute(statement, (thread_id, number)))

    def give_back(self, thread_id: str, number: int, reserved: int) -> None:
        """Lower the highest reserved number in the next transaction, unless another process has reserved more."""
        statement = "UPDATE event_numbers SET reserved = ? WHERE thread_id = ? AND reserved = ?"
        values = (number, thread_id, reserved)
        self._database.write_later(lambda connection: connection.execute(statement, values))

    async def save(self) -> None:
        """Commit what was reserved."""
        await self._database.write(lambda _: None)
