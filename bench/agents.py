"""Many agents at once in one Python program: each finishes a scripted turn of one line.

Memory is the proportional share (PSS) of the processes of all agents together, read once all of them have answered.
Run: `python -m bench.agents [AGENTS]`
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

from ml_intern import Agent

AGENTS: Final = 50
GOAL_S: Final = 60.0
GOAL_GB: Final = 6.0
GOAL_FIRST_EVENT_S: Final = 0.2


async def measure(count: int, folder: Path) -> tuple[float, float, float]:
    """Return the seconds to the last answer, the memory in GB, and the seconds to the first event of a second turn."""
    (script := folder / "script.yaml").write_text("- text: hello\n- text: again\n")
    began = time.monotonic()
    async with AsyncExitStack() as stack:

        async def start(number: int) -> Agent:
            (work := folder / str(number)).mkdir()
            agent = Agent("--no-sandbox", cwd=str(work), model=f"scripted:{script}")
            await stack.enter_async_context(agent)
            assert (await agent.ask("go")).text == "hello"
            return agent

        agents = await asyncio.gather(*(start(number) for number in range(count)))
        seconds, memory = time.monotonic() - began, sum(_pss(pid) for pid in _children()) / 2**20
        began = time.monotonic()
        events = agents[0].run("again")
        await anext(events)
        first = time.monotonic() - began
        async for _ in events:
            pass
    return seconds, memory, first


def _children() -> list[int]:
    """Return the processes below this one."""
    parents = {int(pid): int(stat.rpartition(")")[2].split()[1]) for pid, stat in _stats()}
    found, below = set[int](), {os.getpid()}
    while below := {pid for pid, parent in parents.items() if parent in below and pid not in found}:
        found |= below
    return sorted(found)


def _stats() -> Iterator[tuple[str, str]]:
    for path in Path("/proc").iterdir():
        with suppress(OSError):  # the process has ended
            if path.name.isdigit():
                yield path.name, (path / "stat").read_text()


def _pss(pid: int) -> int:
    """Return the memory of a process in KiB, 0 if it has ended; pages that processes share are divided among them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def main(count: int) -> None:
    """Measure, and print each figure beside its goal."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ML_INTERN_HOME"] = str(Path(folder) / "home")
        seconds, memory, first = asyncio.run(measure(count, Path(folder)))
    load = os.getloadavg()[0]
    print(f"{count} agents, one turn each: {seconds:.1f} s (goal {GOAL_S:g}; load of the machine {load:.1f})")
    print(f"memory of their processes: {memory:.2f} GB (goal {GOAL_GB:g})")
    print(f"first event of a second turn: {first:.3f} s (goal {GOAL_FIRST_EVENT_S:g})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else AGENTS)
