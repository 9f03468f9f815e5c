"""What an effect relies on is on disk before it: these transactions wait for the disk, whatever others do."""

import sqlite3
from pathlib import Path

from tests.faults.broken_sqlite import Plan
from tests.faults.lab import mark_effect
from tests.faults.lives import live
from tests.faults.scenarios import short

RELIED_ON = ("INTO journal", "UPDATE journal", "INTO ledger", "queued_messages", "INTO runs", "INTO threads")


class Commits(Plan):
    """Records which transactions waited for the disk."""

    def __init__(self) -> None:
        super().__init__()
        self.transactions: dict[sqlite3.Connection, list[str]] = {}
        self.relaxed: set[sqlite3.Connection] = set()
        self.synced: list[str] = []
        self.unsynced: list[str] = []

    def before(self, connection: sqlite3.Connection, sql: str) -> None:
        super().before(connection, sql)
        if sql == "PRAGMA synchronous = NORMAL":
            self.relaxed.add(connection)
        elif sql == "PRAGMA synchronous = FULL":
            self.relaxed.discard(connection)
        elif sql.startswith("BEGIN"):
            self.transactions[connection] = []
        elif sql == "COMMIT":
            kept = self.unsynced if connection in self.relaxed else self.synced
            kept.append("; ".join(self.transactions.pop(connection)))
        elif connection in self.transactions:
            self.transactions[connection].append(sql)


def test_what_an_effect_relies_on_is_synced(folder: Path) -> None:
    commits, scenario = Commits(), short(mark_effect)
    live(scenario.lab(folder), scenario, commits)
    assert any("checkpoints" in one and "INTO ledger" in one for one in commits.synced)  # a step waits for an effect
    for words in RELIED_ON[:4]:
        assert any(words in one for one in commits.synced), words
    assert [one for one in commits.unsynced if any(words in one for words in RELIED_ON)] == []
