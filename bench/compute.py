"""How fast runs on another machine start, are polled, are found again and wake the model, and what a cut costs.

    python -m bench.compute MEASUREMENT... [--cut SECONDS] [--log BYTES]

The measurements are launch, poll, many, wake, log, cut and squeue; without one, all but cut. sshd and Slurm are started
on loopback. Each prints one line of JSON, with the load average.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from ml_intern.configs.errors import TemporaryError
from ml_intern.runs.poll import poll, refresh, stop
from ml_intern.store.runs import RunRow
from tests.execution.conftest import opened_bench
from tests.runs.remote.conftest import RemoteBench
from tests.runs.remote.slurm import cluster
from tests.runs.remote.sshd import Sshd, end_connections, sshd_on_loopback

LAUNCHES: Final = 10
POLLED: Final = 20
MANY: Final = 50
WAKES: Final = 5
PRINT_LOG: Final = "import sys\nfor _ in range({lines}):\n    sys.stdout.write('x' * 1023 + '\\n')\nprint('loss=0.25')"
COUNTER: Final = '#!/bin/sh\necho >> {count}\nexec {program} "$@"\n'


def counted(folder: Path, program: str) -> Path:
    """Put a program that counts its calls first on the PATH, and return the file with one line per call."""
    found, count = shutil.which(program), folder / f"{program}.calls"
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / program).write_text(COUNTER.format(count=count, program=found))
    (folder / "bin" / program).chmod(0o755)
    if str(folder / "bin") not in os.environ["PATH"]:
        os.environ["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
    count.touch()
    return count


def calls(count: Path) -> int:
    """Return how often a counted program was called."""
    return len(count.read_text().splitlines())


async def launch(box: RemoteBench, _given: argparse.Namespace, _server: Sshd) -> dict[str, Any]:
    """From the call to running on the other machine; the first start logs in and copies the far side."""
    took = []
    for _ in range(LAUNCHES + 1):
        began = time.monotonic()
        row = await box.started(command="sleep 60")
        took.append(time.monotonic() - began)
        await stop(box.store, row)
    return {"first_s": took[0], "median_s": statistics.median(took[1:]), "longest_s": max(took[1:])}


async def poll_of_many(box: RemoteBench, _given: argparse.Namespace, _server: Sshd) -> dict[str, Any]:
    """Poll runs on one machine at the same time, and count the calls of ssh."""
    for _ in range(POLLED):
        await box.started(command="sleep 600")
    count = counted(box.workspace.parent, "ssh")
    before, began = calls(count), time.monotonic()
    problems = await refresh(box.store)
    found = {"runs": POLLED, "requests": calls(count) - before, "seconds": time.monotonic() - began}
    await _stop_all(box)
    return {**found, "problems": problems}


async def many(box: RemoteBench, _given: argparse.Namespace, _server: Sshd) -> dict[str, Any]:
    """Start runs side by side, and find them all from a new process without a connection."""
    gate = asyncio.Semaphore(8)

    async def start() -> None:
        async with gate:
            await box.started(command="sleep 600")

    began = time.monotonic()
    await asyncio.gather(*(start() for _ in range(MANY)))
    started = time.monotonic() - began
    end_connections(box.connections)
    began = time.monotonic()
    listed = json.loads(await _run_ml_intern(box, "jobs", "list", "--open", "--limit", "0", "--json"))
    seconds = time.monotonic() - began
    running = sum(one["state"] == "running" for one in listed)
    await _stop_all(box)
    return {"runs": MANY, "started_s": started, "found": running, "found_s": seconds}


async def wake(box: RemoteBench, _given: argparse.Namespace, _server: Sshd) -> dict[str, Any]:
    """From the end of a run on the other machine to its recorded end here, polled as often as the watch does."""
    took = []
    for _ in range(WAKES):
        row = await box.started(command="sleep 2; date +%s.%N > end")
        while (row := await poll(box.store, row)).open:  # noqa: ASYNC110 nothing tells of another process
            await asyncio.sleep(1)
        now = time.time()
        end = Path(box.target["workdir"]) / "runs" / row.id / "work" / "end"
        took.append(now - float(end.read_text()))
    return {"median_s": statistics.median(took), "longest_s": max(took)}


async def log(box: RemoteBench, given: argparse.Namespace, _server: Sshd) -> dict[str, Any]:
    """Follow a huge log with `jobs logs -f`, and compare the memory with that for a small log."""
    memory, seconds = {}, 0.0
    for size in (1 << 20, given.log):
        box.file("print_log.py", PRINT_LOG.format(lines=size >> 10))
        row = await box.started(command="python3 print_log.py")
        began = time.monotonic()
        await _run_ml_intern(box, "jobs", "logs", "-f", row.id, output=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        memory[size] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        assert Path(row.log).stat().st_size > size
        Path(row.log).unlink()
        shutil.rmtree(Path(box.target["workdir"]) / "runs" / row.id)
    return {"bytes": given.log, "seconds": seconds, "more_memory_mb": memory[given.log] - memory[1 << 20]}


async def cut(box: RemoteBench, given: argparse.Namespace, server: Sshd) -> dict[str, Any]:
    """Stop the server while a run prints, start it later, and count what is missing."""
    seconds = int(given.cut)
    row = await box.started(command=f"for i in $(seq {seconds}); do echo step $i loss=1; sleep 1; done")
    await poll(box.store, row)
    server.stop()
    end_connections(box.connections)
    began, failed = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        try:
            await poll(box.store, row)
        except TemporaryError:
            failed += 1
        await asyncio.sleep(5)
    server.start()
    began = time.monotonic()
    row = await _ended(box, row)
    lines = Path(row.log).read_text().splitlines()
    complete = lines == [f"step {number} loss=1" for number in range(1, seconds + 1)]
    back = time.monotonic() - began
    return {"cut_s": seconds, "state": row.state, "complete": complete, "failed_polls": failed, "back_s": back}


async def squeue(box: RemoteBench, _given: argparse.Namespace, _server: Sshd) -> dict[str, Any]:
    """Poll five jobs of Slurm each second for 40 s, and count the requests to its queue."""
    folder = box.workspace.parent / "slurm"
    folder.mkdir()
    with cluster(folder) as configuration:
        os.environ["SLURM_CONF"] = str(configuration)
        count = counted(box.workspace.parent, "squeue")
        box.target = {"kind": "slurm", "workdir": box.target["workdir"] + "-slurm"}
        rows = [await box.started(command="sleep 600") for _ in range(5)]
        before, began = calls(count), time.monotonic()
        while time.monotonic() - began < 40:
            await refresh(box.store)
            await asyncio.sleep(1)
        found = {"runs": len(rows), "seconds": time.monotonic() - began, "squeue": calls(count) - before}
        await _stop_all(box)
    return found


Measurement = Callable[[RemoteBench, argparse.Namespace, Sshd], Awaitable[dict[str, Any]]]
MEASUREMENTS: Final[Mapping[str, Measurement]] = {
    "launch": launch, "poll": poll_of_many, "many": many, "wake": wake, "log": log, "cut": cut, "squeue": squeue,
}  # fmt: skip


async def _stop_all(box: RemoteBench) -> None:
    gate = asyncio.Semaphore(8)

    async def one(row: RunRow) -> None:
        async with gate:
            await stop(box.store, row)

    await asyncio.gather(*map(one, await box.store.runs.unfinished()))


async def _ended(box: RemoteBench, row: RunRow) -> RunRow:
    while True:
        try:
            if not (row := await poll(box.store, row)).open:
                return row
        except TemporaryError:
            continue
        finally:
            await asyncio.sleep(0.2)


async def _run_ml_intern(box: RemoteBench, *words: str, output: int = subprocess.PIPE) -> str:
    environment = {**os.environ, "ML_INTERN_HOME": str(box.store.home)}
    command = (sys.executable, "-m", "ml_intern", *words)
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=output, cwd=box.workspace)
    text, _ = await process.communicate()
    return (text or b"").decode()


@asynccontextmanager
async def opened_box(folder: Path, server: Sshd) -> AsyncIterator[RemoteBench]:
    """A bench whose settings name the server as the target `box`."""
    async with opened_bench(folder) as bench:
        box = RemoteBench(bench.store, bench.workspace, bench.services)
        there = str(folder / "there")
        box.target = {"kind": "ssh", "host": "box", "ssh_config": str(server.config), "workdir": there}
        box.connections = Path(tempfile.gettempdir())
        yield box
        end_connections(box.connections)


async def measure(name: str, given: argparse.Namespace) -> None:
    """Perform one measurement in a folder of its own, and print it."""
    with tempfile.TemporaryDirectory(prefix="b") as text:
        folder, tempfile.tempdir, os.environ["TMPDIR"] = Path(text), text, text
        (folder / "sshd").mkdir()
        with sshd_on_loopback(folder / "sshd") as server:
            async with opened_box(folder, server) as box:
                found = await MEASUREMENTS[name](box, given, server)
    tempfile.tempdir = None
    rounded = {key: round(value, 2) if isinstance(value, float) else value for key, value in found.items()}
    print(json.dumps({"measurement": name, **rounded, "load": round(os.getloadavg()[0], 1)}), flush=True)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", nargs="*", metavar="MEASUREMENT")
    parser.add_argument("--cut", type=float, default=600.0)
    parser.add_argument("--log", type=int, default=1 << 30)
    given = parser.parse_args()
    for name in given.measurements or [name for name in MEASUREMENTS if name != "cut"]:
        asyncio.run(measure(name, given))


if __name__ == "__main__":
    main()
