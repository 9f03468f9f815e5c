"""What long threads cost: 1,000 turns of 8 KB each through the real loop, and 500 threads in a list.

Run: `uv run python -m bench.threads [TURNS]`. Prints a line a figure, with what it should stay under.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.process import model_server, records, run
from ml_intern.graph.context import RunOptions
from ml_intern.graph.operations import Operation, Redo, Undo, UserInput
from ml_intern.models.gateway import Models
from ml_intern.outbound.exporting.formats import FORMATS, export_conversation
from ml_intern.session.agent import AgentSession
from ml_intern.session.exchange.export import conversation_of
from ml_intern.session.thread import idle_turns
from ml_intern.session.turns.thinning import plan_thinning
from ml_intern.store.store import DATABASE_NAME, Store
from ml_intern.tools.registry import create_builtin_tools

PROGRAM = str(Path(sys.executable).with_name("ml-intern"))
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_ \n"
RESULT_BYTES = 8_192
MESSAGES = 1_000
MESSAGES_OF_A_TURN = 4
LISTED = 500


@dataclass(frozen=True)
class Took:
    """Seconds on the clock and seconds of CPU: on a busy machine the clock tells of others too."""

    wall: float
    cpu: float


def say(what: str, took: Took, unit: str = "ms", most: float | None = None) -> None:
    factor = {"ms": 1000, "s": 1}[unit]
    limit = "" if most is None else f", to stay under {most:g} {unit}"
    print(f"{what:58} {took.wall * factor:9.1f} {unit} ({took.cpu * factor:.1f} of CPU{limit})", flush=True)


def say_size(what: str, megabytes: float, most: float | None = None) -> None:
    print(f"{what:58} {megabytes:9.1f} MB{'' if most is None else f' (to stay under {most:g} MB)'}", flush=True)


def median(taken: list[Took]) -> Took:
    return sorted(taken, key=lambda took: took.cpu)[len(taken) // 2]


@contextmanager
def clock() -> Iterator[Callable[[], Took]]:
    """Within the block and after it, a function that tells how much has passed since its beginning."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield lambda: Took(time.perf_counter() - wall, time.process_time() - cpu)


def write_script(path: Path, turns: int) -> str:
    """A model that calls bash once a turn for 8 KB that hardly compress, then answers."""
    letters = random.Random(1)
    steps: list[dict[str, object]] = []
    for turn in range(turns):
        name = path.parent / "texts" / f"{turn}"
        name.parent.mkdir(exist_ok=True)
        name.write_text("".join(letters.choices(LETTERS, k=RESULT_BYTES)))
        steps += [{"tool_calls": [{"name": "bash", "args": {"command": f"cat {name}"}}]}, {"text": f"answer {turn}"}]
    path.write_text(yaml.dump(steps, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
    return f"scripted:{path}"


async def done(session: AgentSession, operation: Operation) -> Took:
    """Carry out an operation; what it took."""
    with clock() as passed:
        await session.submit(operation)
        await session.idle()
        return passed()


async def timed(work: Callable[[], Awaitable[object]]) -> Took:
    with clock() as passed:
        await work()
        return passed()


async def drained(session: AgentSession) -> None:
    async for _ in session.events():
        pass


class Long:
    """A long thread in a home of its own."""

    def __init__(self, folder: Path, turns: int) -> None:
        self.home, self.work = folder / "home", folder / "work"
        self.work.mkdir()
        self.turns = turns
        self.thread = ""
        self.model = write_script(folder / "script.yaml", turns)

    async def session(self, store: Store) -> AgentSession:
        options = RunOptions(
            model=self.model, workspace=str(self.work), approval_mode="yolo", compact_threshold=10**9, stream=False
        )
        return await AgentSession.open(store, Models(store.ledger), create_builtin_tools(), options, thread=self.thread)

    async def grow(self, first: int, last: int) -> None:
        """Run turns, and print what one takes."""
        async with await Store.open(self.home) as store:
            session = await self.session(store)
            self.thread = session.thread_id
            reader = asyncio.create_task(drained(session))
            taken = [await done(session, UserInput(f"turn {turn}")) for turn in range(first, last)]
            await session.close()
            await reader
        if taken:
            say(f"a turn (bash, 8 KB, snapshot), median of {first + 1} to {last}", median(taken))

    async def move(self) -> None:
        """Undo and redo in the session; then what commands do that read the whole thread."""
        async with await Store.open(self.home) as store:
            session = await self.session(store)
            reader = asyncio.create_task(drained(session))
            await session.idle()
            undos = [await done(session, Undo(files="conversation")) for _ in range(5)]
            redos = [await done(session, Redo(files="conversation")) for _ in range(5)]
            say("undo without files, median of 5", median(undos), most=100)
            say("redo without files, median of 5", median(redos), most=100)
            say("the turns to rewind to", await timed(session.turns))
            await session.close()
            await reader
            row = await store.threads.find(self.thread)
            turns = await idle_turns(store, self.thread, row.folder)
            say("plan what prune may take", await timed(lambda: plan_thinning(turns, row.redo)))
            with clock() as passed:
                conversation = await conversation_of(turns, row)
                say("the conversation with its times", passed())
            for name in FORMATS:
                with clock() as passed:
                    text = export_conversation(conversation, name)
                    say(f"export as {name}, {len(text) / 1e6:.1f} MB", passed())
            say_size("checkpoints and writes alone", (await store.checkpoints.sizes())[self.thread] / 1e6)

    def resume(self) -> None:
        """Start the program on the thread, until its request has come to the model."""
        with model_server(0) as base, tempfile.TemporaryDirectory() as logs:
            environment = {**os.environ, "ML_INTERN_HOME": str(self.home), "OPENAI_API_KEY": "bench"}
            command = [PROGRAM, "-q", "-p", "-r", self.thread, "-m", "openai/bench", "--base-url", f"{base}/v1", "go"]
            used = run(command, self.work, environment, Path(logs) / "log")
            received = records(base).received
            if not received:
                raise SystemExit((Path(logs) / "log").read_text())
            took = Took(received[0] - used.started, used.cpu)
        say(f"resume of {MESSAGES} messages to the first request", took, "s", 3)


async def many_threads(home: Path) -> None:
    async with await Store.open(home) as store:
        for number in range(LISTED):
            await store.threads.create(title=f"thread {number} about something", folder=f"/work/{number}", turns=number)


def listing(home: Path, words: list[str]) -> Took:
    """A listing in a process of its own, the best of five."""
    environment = {**os.environ, "ML_INTERN_HOME": str(home)}
    used = [run([PROGRAM, *words], home, environment, home.parent / "listing") for _ in range(5)]
    return Took(min(one.wall for one in used), min(one.cpu for one in used))


async def main() -> None:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await many_threads(folder / "many")
        alone = listing(folder / "many", ["--version"])
        whole = listing(folder / "many", ["threads", "list", "--limit", "0"])
        say("start", alone)
        say(f"list {LISTED} threads after start", Took(whole.wall - alone.wall, whole.cpu - alone.cpu), most=300)
        long = Long(folder, turns + 1)
        early = min(turns, MESSAGES // MESSAGES_OF_A_TURN)
        await long.grow(0, early)
        await asyncio.to_thread(long.resume)
        await long.grow(early + 1, turns)
        say_size(f"database of {turns} turns of 8 KB", (long.home / DATABASE_NAME).stat().st_size / 1e6, 40)
        await long.move()


if __name__ == "__main__":
    asyncio.run(main())
