"""ml-intern killed at random moments of launch, run and fetch of a run on another machine.

    python -m bench.compute_kills --folder FOLDER --kind ssh|slurm|slurm-sweep|ray [--kills 100] [--address URL]

Each thread starts a run, waits for it and copies its output, and is killed up to three times on the way; with
slurm-sweep it starts and awaits three runs. No run may start twice, get lost, or exist on the other side without being
listed. A line of trials_KIND.jsonl in the folder is one
thread; the next run counts on from there. ssh and Slurm are started on loopback; `--address` is a running Ray cluster.
bench/compute_kills.json has the figures of the last run of each kind.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ml_intern.runs.run_folder import LOG, run_folder
from ml_intern.store.store import Store
from tests.runs.remote.slurm import cluster
from tests.runs.remote.sshd import end_connections, sshd_on_loopback

COMMAND: Final = "echo begin {n} >> $PLACE; echo loss=0.5; sleep 1; echo 42 > out.txt; echo loss=0.25"
SWEEP: Final = "slurm-sweep"
NUMBERS: Final = (1, 2, 3)
"""The values of a sweep, of which a single run has the first."""
MAX_KILLS: Final = 3
MAX_STARTS: Final = 10
MAX_SECONDS: Final = 180.0
LONGEST_S: Final = {"ssh": 12.0, "slurm": 14.0, SWEEP: 14.0, "ray": 20.0}
"""The longest time between a start and its kill. Starting takes about 1.5 s."""

REPORT: Final = Path(__file__).with_suffix(".json")

Trial = dict[str, Any]


class KilledThread:
    """One thread that is killed and continued until it has ended."""

    def __init__(self, folder: Path, target: Mapping[str, Any], *, sweep: bool) -> None:
        self.folder, self.work, self.home = folder, folder / "work", folder / "home"
        self.there, self.place = folder / "there", folder / "begun"
        self.kills: list[float] = []
        self.work.mkdir(parents=True)
        self.home.mkdir()
        (self.work / "data.txt").write_text("7\n")
        settings = {"compute": {"box": {**target, "workdir": str(self.there)}}}
        (folder / "settings.json").write_text(json.dumps(settings))
        self.numbers = NUMBERS if sweep else NUMBERS[:1]
        environment = {"PLACE": str(self.place)}
        sweeping = {"operation": "sweep", "command": COMMAND, "parameters": {"n": list(self.numbers)}}
        calls: list[dict[str, Any]] = [
            {"operation": "run", "command": COMMAND.format(n=1)},
            {"operation": "wait", "run": "run-", "seconds": 120},
            {"operation": "fetch", "run": "run-", "outputs": ["out.txt"]},
        ]
        first, *others = [sweeping] if sweep else calls
        calls = [{**first, "target": "box", "env": environment}, *others]
        steps = [{"tool_calls": [{"name": "jobs", "args": args}]} for args in calls]
        (folder / "script.yaml").write_text(json.dumps([*steps, *[{"text": "done"}] * MAX_STARTS]))

    def play(self, chance: random.Random, longest: float) -> None:
        """Kill the thread at random moments, then let it end."""
        wanted = chance.randint(1, MAX_KILLS)
        for start in range(MAX_STARTS):
            process = self._start(is_first=start == 0)
            began = time.monotonic()
            try:
                process.wait(chance.uniform(0.3, longest) if len(self.kills) < wanted else MAX_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                self.kills.append(round(time.monotonic() - began, 2))
                continue
            if process.returncode == 0:
                return

    def _start(self, *, is_first: bool) -> subprocess.Popen[bytes]:
        """Start the thread, or continue it if it was saved."""
        is_saved = not is_first and asyncio.run(_threads(self.home)) > 0
        model = ["-m", f"scripted:{self.folder / 'script.yaml'}", "--config", str(self.folder / "settings.json")]
        words = ["-c", "-p"] if is_saved else ["-p", "run it on box"]
        with (self.folder / "output").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "ml_intern", *words, *model, "--yolo", "--no-sandbox", "--verify", "off"],
                cwd=self.work, env={**os.environ, "ML_INTERN_HOME": str(self.home)},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    async def problems(self) -> list[str]:
        """Return what was lost or made twice."""
        found = []
        begun = self.place.read_text().split()[1::2] if self.place.exists() else []
        async with await Store.open(self.home) as store:
            rows = await store.runs.list()
        listed, there = {row.id for row in rows}, {path.name for path in (self.there / "runs").glob("*")}
        if sorted(begun) != [str(number) for number in self.numbers] or len(rows) != len(self.numbers):
            found.append(f"started: {begun}, {len(rows)} runs listed")
        if there - listed:
            found.append(f"not listed: {sorted(there - listed)}")
        for row in rows:
            log = run_folder(self.home, row.id) / LOG
            if row.state != "succeeded" or not log.exists() or log.read_text() != "loss=0.5\nloss=0.25\n":
                found.append(f"{row.id} is {row.state} ({row.reason}), {row.metrics}")
            out = self.work / "outputs" / row.id / "out.txt"
            if len(self.numbers) == 1 and (not out.exists() or out.read_text() != "42\n"):
                found.append(f"{row.id}: its output was not copied")
        return found


async def _threads(home: Path) -> int:
    async with await Store.open(home) as store:
        return len(await store.threads.list())


@contextmanager
def target_of(kind: str, address: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Return the target's settings; its services end with the context."""
    if kind == "ray":
        yield {"kind": "ray", "address": address}
    elif kind in ("slurm", SWEEP):
        folder.mkdir()
        with cluster(folder) as configuration:
            os.environ["SLURM_CONF"] = str(configuration)
            yield {"kind": "slurm", "squeue_s": 1.0}
    else:
        folder.mkdir()
        with sshd_on_loopback(folder) as running:
            yield {"kind": "ssh", "host": "box", "ssh_config": str(running.config)}


def soak(folder: Path, kind: str, wanted: int, target: Mapping[str, Any]) -> int:
    """Play threads until `wanted` kills were made in all runs, and print the figures. Return the exit code."""
    record = folder / f"trials_{kind}.jsonl"
    trials: list[Trial] = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    while sum(len(one["kills"]) for one in trials) < wanted:
        seed = len(trials)
        thread = KilledThread(folder / f"{kind}{seed}", target, sweep=kind == SWEEP)
        thread.play(random.Random(f"{kind} {seed}"), LONGEST_S[kind])
        trials.append({"kills": thread.kills, "broken": asyncio.run(thread.problems()), "seed": seed})
        end_connections(thread.home)
        if not trials[-1]["broken"]:
            shutil.rmtree(thread.folder)
        with record.open("a") as file:
            file.write(json.dumps(trials[-1]) + "\n")
        print(json.dumps(trials[-1]), flush=True)
    report(kind, trials)
    return 1 if any(one["broken"] for one in trials) else 0


def report(kind: str, trials: list[Trial]) -> None:
    """Print the figures of a kind, and replace them in the report."""
    figures = {
        "kills": sum(len(one["kills"]) for one in trials),
        "runs": len(trials),
        "broken": [one for one in trials if one["broken"]],
        "load": round(os.getloadavg()[0], 1),
    }
    known = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    REPORT.write_text(json.dumps({**known, kind: figures}, indent=2) + "\n")
    print(json.dumps({"kind": kind, **figures}))


def main() -> int:
    """Read the arguments and kill."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kind", choices=sorted(LONGEST_S), required=True)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--address", default="http://127.0.0.1:8265")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the services end, too
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    services = folder / f"services{time.time_ns()}"
    with target_of(given.kind, given.address, services) as target:
        return soak(folder, given.kind, given.kills, target)


if __name__ == "__main__":
    sys.exit(main())
