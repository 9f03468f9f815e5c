"""A soak that can be stopped and started at any time: processes are killed by SIGKILL until enough of them were.

    python -m bench.soak [--kills 10000] [--folder .cache/soak]

The trials of tests/faults/kills.py are counted by commit in bench/soak.json; the next run counts on from there. The
program ends with 1 at the first trial that lost or doubled something, and leaves its folder for you to look at.
"""

import argparse
import json
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.revision import revision

ROOT = Path(__file__).resolve().parents[1]
BATCH = 40
"""Kills by one process, which draws a seed of its own."""

RESULTS = Path(__file__).with_name("soak.json")

Trial = dict[str, Any]


@dataclass
class Counts:
    """The trials of one commit."""

    commit: str
    trials: int = 0
    broken: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    """Kills by scenario."""

    def add(self, trial: Trial) -> None:
        """Count a trial."""
        self.trials += 1
        self.broken += bool(trial["broken"])
        self.kills[trial["scenario"]] += len(trial["kills"])


def recorded(file: Path) -> list[Counts]:
    """Return the counts of all runs so far, by commit."""
    rows = json.loads(file.read_text()) if file.exists() else []
    return [Counts(row["commit"], row["trials"], row["broken"], Counter(row["kills"])) for row in rows]


def save(file: Path, rows: Sequence[Counts]) -> None:
    """Replace the file by the counts."""
    waiting = file.with_suffix(".new")
    waiting.write_text(
        json.dumps([{**vars(row), "kills": dict(sorted(row.kills.items()))} for row in rows], indent=1) + "\n"
    )
    waiting.replace(file)


def batch(folder: Path, kills: int) -> Iterator[Trial]:
    """Run a batch, and yield its trials as they end."""
    seed = secrets.token_hex(4)
    command = [sys.executable, "-m", "tests.faults.kills", str(folder / seed), seed, str(kills)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield from map(json.loads, process.stdout)
    if process.returncode:
        raise SystemExit(f"a batch ended with {process.returncode}")


def summary(rows: Sequence[Counts]) -> str:
    """Return the kills by scenario, and how many trials lost or doubled something."""
    kills = sum((row.kills for row in rows), Counter[str]())
    trials, broken = sum(row.trials for row in rows), sum(row.broken for row in rows)
    spread = ", ".join(f"{name} {number}" for name, number in sorted(kills.items()))
    return f"{kills.total()} kills in {trials} trials, {broken} broken: {spread}"


def soak(file: Path, folder: Path, commit: str, wanted: int) -> int:
    """Kill until `wanted` processes were killed in all runs. Return the exit code."""
    rows = recorded(file)
    if not rows or rows[-1].commit != commit:
        rows.append(Counts(commit))
    while (left := wanted - sum(row.kills.total() for row in rows)) > 0:
        for trial in batch(folder, min(left, BATCH)):
            rows[-1].add(trial)
            save(file, rows)
            if trial["broken"]:
                print(f"{summary(rows)}\n{trial['folder']}: {trial['broken']}")
                return 1
        print(summary(rows), flush=True)
    print(summary(rows))
    return 0


def main() -> None:
    """Read the arguments and soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache/soak")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    try:
        sys.exit(soak(RESULTS, given.folder, revision(), given.kills))
    except KeyboardInterrupt:
        sys.exit("stopped; the next run continues")


if __name__ == "__main__":
    main()
