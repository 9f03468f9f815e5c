"""Print how long snapshots of a workspace take, what they add to a turn's first request, and how long undo takes."""

import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from ml_intern.graph.context import RunOptions
from ml_intern.graph.operations import Redo, Undo, UserInput
from ml_intern.models.gateway import Models
from ml_intern.session.agent import AgentSession
from ml_intern.snapshots.workspace import RestoreRequest, Snapshots
from ml_intern.store.store import Store
from ml_intern.tools.registry import create_builtin_tools

MEGABYTE = 1_000_000
REPEATS = 7


def fill(folder: Path, files: int, size: int) -> None:
    """Write so many files of so many random bytes, in folders of a hundred."""
    for number in range(files):
        path = folder / f"d{number // 100}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds that the work took."""
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


async def snapshots(folder: Path, files: int, size: int) -> None:
    """The first snapshot, one with nothing changed, one with everything changed, and going back."""
    workspace = folder / "work"
    fill(workspace, files, size)
    taken = Snapshots(folder / "home", workspace, lambda what, remedy: print("!", what, remedy))
    names: list[str] = []

    async def take() -> None:
        names.append(taken.begin("bench"))
        await taken.settled()

    first, same = await timed(take), statistics.median([await timed(take) for _ in range(REPEATS)])
    fill(workspace, files, size)
    changed = await timed(take)
    preview = await timed(lambda: taken.preview(RestoreRequest(names[:1], "bench")))
    back = await timed(lambda: taken.restore(RestoreRequest(names[:1], "bench", taken.name_of("before"))))
    await taken.close()
    shape = f"{files:,} files, {files * size / MEGABYTE:,.1f} MB"
    figures = {"first": first, "unchanged": same, "all changed": changed, "preview": preview, "brought back": back}
    print(f"{shape}: " + ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in figures.items()))


@asynccontextmanager
async def opened(folder: Path, steps: list[dict[str, object]]) -> AsyncIterator[AgentSession]:
    """A session with a scripted model in a small workspace."""
    script = folder / "script.yaml"
    script.write_text(yaml.safe_dump(steps))
    options = RunOptions(model=f"scripted:{script}", workspace=str(folder / "work"), approval_mode="yolo")
    async with await Store.open(folder / "home") as store:
        session = await AgentSession.open(store, Models(store.ledger), create_builtin_tools(), options)
        try:
            yield session
        finally:
            await session.close()


async def until(session: AgentSession, *types: str) -> None:
    """Read events up to one of these types."""
    async for event in session.events():
        if event.type in types:
            return


async def step(session: AgentSession, operation: Undo | Redo | UserInput, *types: str) -> float:
    """Seconds from handing in an operation to its event."""
    start = time.perf_counter()
    await session.submit(operation)
    await until(session, *types)
    return time.perf_counter() - start


async def first_reply(folder: Path) -> float:
    """Seconds from the first message of a new session to the model's first words."""
    shutil.rmtree(folder / "home", ignore_errors=True)
    async with opened(folder, [{"text": "A"}]) as session:
        await until(session, "ready")
        seconds = await step(session, UserInput("go"), "assistant_message")
        await until(session, "turn_complete")
        return seconds


async def delays(folder: Path) -> None:
    """What the snapshot adds to the first request: the same with git and without it."""
    fill(folder / "work", 50, 2000)
    path = os.environ["PATH"]
    await first_reply(folder)
    with_git: list[float] = []
    without: list[float] = []
    for _ in range(3 * REPEATS):
        with_git.append(await first_reply(folder))
        os.environ["PATH"] = str(folder)
        without.append(await first_reply(folder))
        os.environ["PATH"] = path
    found, bare = statistics.median(with_git), statistics.median(without)
    print(
        f"message to first words, 50 files: {1000 * found:.0f} ms, without git {1000 * bare:.0f} ms, "
        f"the first snapshot adds {1000 * (found - bare):.0f} ms"
    )


async def undos(folder: Path) -> None:
    """Undo and redo of a turn that wrote a file, with its files and without."""
    fill(folder / "work", 50, 2000)
    call: dict[str, object] = {"tool_calls": [{"name": "bash", "args": {"command": "date +%N > made"}}]}
    async with opened(folder, [call, {"text": "A"}] * 20) as session:
        for _ in range(10):
            await step(session, UserInput("go"), "turn_complete")
        for scope in ("conversation", "both"):
            back: list[float] = []
            again: list[float] = []
            for _ in range(REPEATS):
                back.append(await step(session, Undo(files=scope), "undo_complete"))
                again.append(await step(session, Redo(files=scope), "undo_complete"))
            undo, redo = (1000 * statistics.median(times) for times in (back, again))
            print(f"undo ({scope}): {undo:.0f} ms, redo: {redo:.0f} ms")


def main() -> None:
    for measure in (
        lambda folder: snapshots(folder, 50, 2000),
        lambda folder: snapshots(folder, 20_000, 500),
        lambda folder: snapshots(folder, 1000, 100_000),
        lambda folder: snapshots(folder, 10, 10_000_000),
        delays,
        undos,
    ):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(measure(Path(folder)))


if __name__ == "__main__":
    main()
