"""What the evidence of commands costs: recording one command, and checking an answer after many calls.

Recording is measured in pairs, the same command with and without it. The answer is checked as the gate does it: in a
thread of 300 calls, at the level `quick`, in the process that recorded them and in a new one; it is processor time, so
that other work on the machine does not count.
Run: `python -m bench.evidence [CALLS]`
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from ml_intern.evidence.gate import check_answer
from ml_intern.evidence.observations import observe, prepare
from ml_intern.execution.call import ToolCall, ToolResult
from ml_intern.execution.recording.call_evidence import CallRecorder
from ml_intern.execution.tool import Services, ToolContext
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import emitter
from ml_intern.models.gateway import Models
from ml_intern.store.store import Store
from ml_intern.tools.registry import create_builtin_tools

CALLS = 300
PAIRS = 10
REPEATS = 5
GATE_MS: Final = 100.0
RECORDING_MS: Final = 20.0
RECORDING_SHARE: Final = 0.03
ANSWER: Final = "On test.csv the accuracy is 0.8425 and the macro F1 is 0.7912; the model is saved in model.json."
SCRIPT: Final = """import json
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

def load(path):
    table = np.genfromtxt(path, delimiter=",", skip_header=1)
    return table[:, :-1], table[:, -1].astype(int)

x, y = load("train.csv")
a, b = load("test.csv")
model = LogisticRegression(max_iter={number}, random_state=0).fit(x, y)
made = model.predict(a)
print(json.dumps(dict(accuracy=accuracy_score(b, made), macro_f1=f1_score(b, made, average="macro"))))
"""
COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "true (at once)": ("true",),
    "python -c pass": (sys.executable, "-I", "-S", "-c", "pass"),
    "1,000 files": (
        sys.executable, "-I", "-S", "-c",
        "for at in range(1000):\n with open(f'{at}.out', 'w') as one: one.write('x')",
    ),
}  # fmt: skip


def context(store: Store, workspace: Path, verify: Literal["off", "quick"] = "quick") -> ToolContext:
    """Return the context of calls in a thread."""
    options = RunOptions(model="none", workspace=str(workspace), verify=verify)
    services = Services(Models(store.ledger), create_builtin_tools(), store, options)
    return ToolContext("t", "t", workspace, options, services, emitter(lambda _: None))


def log(number: int) -> str:
    """Return what a training prints: 60 lines of four numbers, and its metrics."""
    lines = [f"epoch {at} step {at * 10} loss={(2 + number) / (at + 1):.4f} lr={1 / (at + 9):.6f}" for at in range(60)]
    return "\n".join([*lines, f'{{"accuracy": 0.8425, "macro_f1": 0.7912, "run": {number}}}', ""])


def call(number: int) -> tuple[str, dict[str, Any], str]:
    """Return tool, arguments and result of one call of a usual thread."""
    if number % 3 == 0:
        return "write", {"path": f"train_{number}.py", "content": SCRIPT.format(number=number)}, "written"
    if number % 3 == 1:
        return "bash", {"command": f"python3 train_{number - 1}.py --seed {number} 2>&1 | tail -n 80"}, log(number)
    return "bash", {"command": f"ls -la runs/{number} && cat train.csv | head -n 3"}, "a,b,y\n1,2,0\n2,1,1\n"


async def fill(given: ToolContext, count: int) -> None:
    """Record the calls of a thread; the last program opens the data and writes the model."""
    rows = "\n".join(f"{at % 7},{at % 5},{at % 2}" for at in range(500))
    for name in ("train.csv", "test.csv"):
        (given.workspace / name).write_text(f"a,b,y\n{rows}\n")
    for number in range(count):
        tool, args, text = call(number)
        one = ToolCall(tool, args, f"c{number}", f"m{number}", 0)
        if tool == "write":
            (given.workspace / args["path"]).write_text(args["content"])
        async with CallRecorder(given.services.tools[tool], one, keyed(given, one)) as recorder:
            if number == count - 2:
                (given.workspace / "model.json").write_text("{}")
                for name in ("train.csv", "test.csv", f"train_{number - 1}.py"):
                    (given.workspace / name).read_bytes()
            await recorder.save(ToolResult(text))
        if tool == "bash":
            prepare(args["command"], ToolResult(text), given)
    await given.store.sync()


def keyed(given: ToolContext, one: ToolCall) -> ToolContext:
    return replace(given, call_id=one.id, key=one.key(given.thread_id))


async def check(given: ToolContext) -> float:
    """Return the milliseconds of processor time of one check of the answer."""
    began = time.process_time()
    verdict = await check_answer(ANSWER, await observe(given))
    taken = 1000 * (time.process_time() - began)
    assert [one.state for one in verdict.claims] == ["held", "held", "held"], verdict
    return taken


async def recorded(given: ToolContext, command: tuple[str, ...]) -> tuple[float, float]:
    """Return the milliseconds of a command with its recording, and of processor time that this process used."""
    one = ToolCall("bash", {"command": " ".join(command)}, "c", f"m{time.monotonic_ns()}", 0)
    began, busy = time.perf_counter(), time.process_time()
    async with CallRecorder(given.services.tools["bash"], one, keyed(given, one)) as recorder:
        await asyncio.to_thread(subprocess.run, command, cwd=given.workspace, check=True)
        await recorder.save(ToolResult("done"))
    return 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - busy)


async def recording(store: Store, workspace: Path) -> None:
    """Print what recording adds to each command: the median of the differences of pairs."""
    for name, command in COMMANDS.items():
        with_it, without = context(store, workspace), context(store, workspace, "off")
        pairs = [(await recorded(with_it, command), await recorded(without, command)) for _ in range(PAIRS)]
        base = statistics.median(off[0] for _, off in pairs)
        wall, busy = (statistics.median(one[at] - two[at] for one, two in pairs) for at in (0, 1))
        target = max(RECORDING_MS, RECORDING_SHARE * base)
        figures = f"{base:8.1f} ms, recording {wall:+6.1f} ms, of it processor {busy:+6.1f} ms"
        print(f"{name:16} {figures}   target {target:.0f} ms", flush=True)


async def gate(home: Path, workspace: Path, count: int, *, cold: bool) -> None:
    """Print what the check of an answer takes after `count` calls."""
    async with await Store.open(home) as store:
        given = context(store, workspace)
        if not cold:
            await fill(given, count)
        taken = [await check(given) for _ in range(1 if cold else REPEATS)]
        what = "new process" if cold else "first, median"
        figures = ", ".join(f"{one:.0f} ms" for one in dict.fromkeys([taken[0], statistics.median(taken)]))
        print(f"gate, quick, {count} calls, {what:14} {figures:16} target {GATE_MS:.0f} ms", flush=True)


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CALLS
    if len(sys.argv) > 2:  # the folders of the process that filled the store
        await gate(Path(sys.argv[2]), Path(sys.argv[3]), count, cold=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        home, workspace = Path(folder, "home"), Path(folder, "work")
        workspace.mkdir()
        await gate(home, workspace, count, cold=False)
        again = (sys.executable, "-m", "bench.evidence", str(count), str(home), str(workspace))
        await asyncio.to_thread(subprocess.run, again, check=True)
        async with await Store.open(home) as store:
            await recording(store, workspace)


if __name__ == "__main__":
    asyncio.run(main())
