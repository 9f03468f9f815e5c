"""A soak that can be stopped and started at any time: processes are killed by SIGKILL until enough of them were.

    python -m bench.soak [--kills 10000] [--folder .cache/soak]

Each trial of tests/faults/kills.py is one line of trials.jsonl in the folder; the next run counts on from there. The
program ends with 1 at the first trial that lost or doubled something, and leaves its folder for you to look at.
"""

import argparse
import json
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BATCH = 40
"""Kills by one process, which draws a seed of its own."""

Trial = dict[str, Any]


def recorded(file: Path) -> list[Trial]:
    """The trials of all runs so far. A line that was cut off does not count."""
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}\n")]


def batch(folder: Path, kills: int) -> Iterator[Trial]:
    """Run a batch, and yield its trials as they end."""
    seed = secrets.token_hex(4)
    command = [sys.executable, "-m", "tests.faults.kills", str(folder / seed), seed, str(kills)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield from map(json.loads, process.stdout)
    if process.returncode:
        raise SystemExit(f"a batch ended with {process.returncode}")


def summary(trials: Sequence[Trial]) -> str:
    """The kills by scenario, and how many trials lost or doubled something."""
    kills: Counter[str] = Counter()
    for trial in trials:
        kills[trial["scenario"]] += len(trial["kills"])
    broken = sum(bool(trial["broken"]) for trial in trials)
    spread = ", ".join(f"{name} {number}" for name, number in sorted(kills.items()))
    return f"{kills.total()} kills in {len(trials)} trials, {broken} broken: {spread}"


def soak(file: Path, wanted: int) -> int:
    """Kill until `wanted` processes were killed in all runs. Return the exit code."""
    trials = recorded(file)
    while (left := wanted - sum(len(trial["kills"]) for trial in trials)) > 0:
        for trial in batch(file.parent, min(left, BATCH)):
            with file.open("a") as record:
                record.write(json.dumps(trial) + "\n")
            trials.append(trial)
            if trial["broken"]:
                print(f"{summary(trials)}\n{trial['folder']}: {trial['broken']}")
                return 1
        print(summary(trials), flush=True)
    print(summary(trials))
    return 0


def main() -> None:
    """Read the arguments and soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache/soak")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    try:
        sys.exit(soak(given.folder / "trials.jsonl", given.kills))
    except KeyboardInterrupt:
        sys.exit("stopped; the next run continues")


if __name__ == "__main__":
    main()
