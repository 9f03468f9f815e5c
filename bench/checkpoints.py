"""What checkpoints cost: the agent's four nodes on our saver, on the one it replaces, and in memory.

Run: `uv run python -m bench.checkpoints [ITERATIONS] [RESULT_BYTES]`
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from ml_intern.store.store import Store
from tests.store.graphs import Agent, config, question

SUPERSTEPS = 4
Opener = Callable[[Path], AbstractAsyncContextManager[BaseCheckpointSaver[Any]]]


@asynccontextmanager
async def ours(folder: Path) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    async with await Store.open(folder / "home") as store:
        yield await store.saver()


@asynccontextmanager
async def plain_sqlite(folder: Path) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    async with AsyncSqliteSaver.from_conn_string(str(folder / "plain.db")) as saver:
        await saver.conn.execute("PRAGMA synchronous = FULL")
        yield saver


@asynccontextmanager
async def memory(_: Path) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    yield InMemorySaver()


def kilobytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // 1024


async def measure(opener: Opener, iterations: int, result_bytes: int) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with opener(folder) as saver:
            app = Agent(iterations, result_bytes=result_bytes).compiled(saver)
            wall, cpu = time.perf_counter(), time.process_time()
            await app.ainvoke(question("go"), config("t"), durability="sync")
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            still_open = kilobytes(folder)
            read = time.perf_counter()
            await app.aget_state(config("t"))
            read = time.perf_counter() - read
        step = 1000 / iterations / SUPERSTEPS
        return (
            f"{opener.__name__:13} {wall * step:6.2f} ms {cpu * step:6.2f} ms CPU a superstep; "
            f"{kilobytes(folder):6} KiB closed, {still_open:6} KiB open; read back in {read * 1000:.0f} ms"
        )


async def main() -> None:
    iterations, result_bytes = [*map(int, sys.argv[1:]), *(300, 2048)[len(sys.argv) - 1 :]]
    for opener in (memory, plain_sqlite, ours):
        print(await measure(opener, iterations, result_bytes))


if __name__ == "__main__":
    asyncio.run(main())
