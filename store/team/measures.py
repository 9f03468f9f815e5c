"""The figures of a team's database for Prometheus: threads, the queue, connections and spending. All are read."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ml_intern.store.connection import SqlConnection, ThreadDatabase

_QUEUE = "SELECT count(*), min(created) FROM operations WHERE state IN ('open', 'begun')"
_THREADS = "SELECT state, count(*) FROM threads GROUP BY state ORDER BY state"
_OPERATIONS = "SELECT state, count(*) FROM operations WHERE state IN ('done', 'refused') GROUP BY state ORDER BY state"
_PARKED = "SELECT count(*) FROM served_threads WHERE starts >= ?"
_SPENT = "SELECT coalesce(sum(cost_usd), 0), count(*) FROM ledger"
_CONNECTIONS = (
    "SELECT count(*), (SELECT setting FROM pg_settings WHERE name = 'max_connections') FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE 'ml-intern%'"
)


@dataclass(frozen=True)
class Measure:
    """One figure with its labels. `kind` is gauge or counter."""

    name: str
    meaning: str
    value: float
    kind: str = "gauge"
    label: tuple[str, str] | None = None


async def team_measures(database: ThreadDatabase, max_starts: int) -> Sequence[Measure]:
    """Return the figures of a PostgreSQL database that all servers and workers share."""

    def read(connection: SqlConnection) -> Sequence[Measure]:
        waiting, oldest = connection.execute(_QUEUE).fetchone()
        spent, requests = connection.execute(_SPENT).fetchone()
        connections, most = connection.execute(_CONNECTIONS).fetchone()
        parked = connection.execute(_PARKED, (max_starts,)).fetchone()[0]
        states = dict(connection.execute(_THREADS).fetchall())
        ended = dict(connection.execute(_OPERATIONS).fetchall())
        age = max(time.time() - oldest, 0.0) if oldest else 0.0
        return [
            *(_threads(state, states.get(state, 0)) for state in ("idle", "running", "waiting", "interrupted")),
            Measure("threads_parked", "Threads that no worker starts until something is posted", parked),
            Measure("queue_operations", "Posted operations that were not performed yet", waiting),
            Measure("queue_oldest_seconds", "Age of the oldest of them", age),
            *(_operations(state, ended.get(state, 0)) for state in ("done", "refused")),
            Measure("database_connections", "Connections of ml-intern to the database", connections),
            Measure("database_connections_max", "Connections that the database server allows", int(most)),
            Measure("spent_usd_total", "Cost of all requests to models and of jobs", float(spent), "counter"),
            Measure("requests_total", "Entries of the ledger", requests, "counter"),
        ]

    return await database.read(read)


def _threads(state: str, count: int) -> Measure:
    return Measure("threads", "Threads by state", count, label=("state", state))


def _operations(state: str, count: int) -> Measure:
    return Measure("operations_stored", "Finished operations of the last days", count, label=("state", state))


def prometheus_text(measures: Sequence[Measure]) -> str:
    """Return figures in Prometheus' text format."""
    lines: list[str] = []
    described = set[str]()
    for one in measures:
        name = f"ml_intern_{one.name}"
        if name not in described:
            described.add(name)
            lines += [f"# HELP {name} {one.meaning}", f"# TYPE {name} {one.kind}"]
        label = f'{{{one.label[0]}="{one.label[1]}"}}' if one.label else ""
        lines.append(f"{name}{label} {one.value:.15g}")
    return "\n".join(lines) + "\n"
