"""Simulated nights: the model calls of eight hours without the waiting, with faults at the rates of a table.

    python -m bench.night [--nights 20] [--steps 960] [--write]

With --write, the nights are added to those in nights.json, and the next run goes on until there are enough of them.

A model reply takes 30 s in the median, so that a night has 960 of them. Each calls a command that leaves its number in
a file. A loop of `ml-intern -c`, such as systemd or Slurm would run, restarts what ends. A night is good if the turn
ends with the model's answer, no command ran twice, and none is missing but those that ran when a process was killed.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.revision import revision

RESULTS = Path(__file__).with_name("nights.json")
FAULTS = {429: 1 / 150, 500: 1 / 400, 503: 1 / 300, 529: 1 / 200}
"""HTTP errors before a reply. A third of them come twice."""
KILLS = {"SIGKILL": 3.0, "SIGTERM": 1.0}
"""Signals in a night: the out-of-memory killer and a restarted machine, and a spot machine that is taken back."""
MAX_STARTS = 40
ANSWER = "the night is over"
START_SECONDS = 900.0


@dataclass
class Night:
    """What happened in one night."""

    seed: int
    steps: int
    commit: str = ""
    """What was played."""
    faults: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    doubled: int = 0
    lost: int = 0
    cut_off: int = 0
    """Commands that were running when the process was killed, which the model was told."""
    stuck: bool = False
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost or doubled, and the turn ended."""
        return not (self.doubled or self.lost or self.stuck)

    def as_json(self) -> dict[str, Any]:
        """Return the night for a report."""
        return {**vars(self), "faults": dict(sorted(self.faults.items())), "good": self.is_good}


def script(night: Night, dice: random.Random) -> list[dict[str, Any]]:
    """The replies of a night, with the faults drawn from the table."""
    steps: list[dict[str, Any]] = []
    for number in range(night.steps):
        command = f"echo {number} >> log; seq {number} {number + 200}"
        step: dict[str, Any] = {"tool_calls": [{"name": "bash", "args": {"command": command}}]}
        status = next((status for status, rate in FAULTS.items() if dice.random() < rate), None)
        if status is not None:
            night.faults[str(status)] += 1
            step["error"] = {
                "status": status,
                "message": "try later",
                "times": dice.choice((1, 1, 2)),
                "retry_after": 0.1,
            }
        steps.append(step)
    return [*steps, {"text": ANSWER}]


def signals(dice: random.Random, steps: int) -> list[tuple[int, str]]:
    """The steps at which the process gets a signal, in order."""
    drawn = [(dice.randrange(1, steps), name) for name, number in KILLS.items() for _ in range(round(number))]
    return sorted(drawn)


def play(night: Night, folder: Path) -> None:
    """Run a night to its end and record what came of it."""
    dice = random.Random(night.seed)
    work, log = folder / "work", folder / "work/log"
    work.mkdir()
    log.touch()
    (folder / "script.yaml").write_text(json.dumps(script(night, dice)))
    waiting, began = signals(dice, night.steps), time.monotonic()

    def due() -> str | None:
        is_reached = waiting and len(log.read_text().split()) >= waiting[0][0]
        return waiting.pop(0)[1] if is_reached else None

    model = ("-m", f"scripted:{folder / 'script.yaml'}")
    answer = lives(folder, model, due, night)
    night.seconds = round(time.monotonic() - began, 1)
    count(night, log, answer)


def lives(
    folder: Path, model: tuple[str, ...], due: Callable[[], str | None], night: Night, limit_s: float = START_SECONDS
) -> str:
    """Start the program again and again until it ends with an answer, which is returned."""
    answer = ""
    while not answer and night.starts < MAX_STARTS:
        night.starts += 1
        words = ("-c",) if night.starts > 1 else ("-p", "work until the morning")
        answer = life(folder, (*model, *words), due, night, limit_s)
    return answer


def count(night: Night, log: Path, answer: str) -> None:
    """Record what was lost or ran twice, by the numbers that the commands left in `log`."""
    night.stuck = answer != ANSWER + "\n"
    done = Counter(log.read_text().split())
    night.doubled = sum(number > 1 for number in done.values())
    missing = night.steps - len(done)
    night.cut_off = min(missing, sum(night.faults[name] for name in KILLS))
    night.lost = missing - night.cut_off


def life(folder: Path, words: tuple[str, ...], due: Callable[[], str | None], night: Night, limit_s: float) -> str:
    """One process, which is sent the signals that are due. Return its answer, "" if it ended without."""
    program = [sys.executable, "-m", "ml_intern", "--no-sandbox", "--max-iterations", "-1", "--approval-mode", "yolo"]
    environment = {**os.environ, "ML_INTERN_HOME": str(folder / "home")}
    with (folder / "errors").open("ab") as errors, subprocess.Popen(
        [*program, *words], cwd=folder / "work", env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + limit_s
        while process.poll() is None and time.monotonic() < deadline:
            if name := due():
                night.faults[name] += 1
                process.send_signal(signal.Signals[name])
                process.wait()
            time.sleep(0.02)
        if process.poll() is None:  # the machine is slow, or it hangs: then the night does not end either
            night.faults["SIGKILL"] += 1
            process.kill()
        assert process.stdout is not None
        return process.stdout.read() if process.returncode == 0 else ""


def main() -> None:
    """Play the nights and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=20)
    parser.add_argument("--steps", type=int, default=960)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"write the report to {RESULTS.name}")
    given = parser.parse_args()
    rows = json.loads(RESULTS.read_text()) if given.write and RESULTS.exists() else []
    first = max((row["seed"] + 1 for row in rows), default=given.seed)
    for seed in range(first, first + given.nights - len(rows)):
        night = Night(seed, given.steps, revision())
        with TemporaryDirectory(prefix="ml-intern-night-") as folder:
            play(night, Path(folder))
        rows.append(night.as_json())
        faults = ", ".join(f"{name} {count}" for name, count in sorted(night.faults.items()))
        verdict = "good" if night.is_good else night.as_json()
        print(f"night {night.seed}: {verdict}, {night.seconds} s, {faults}", flush=True)
        if given.write:
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    good = sum(row["good"] for row in rows)
    print(f"{good} of {len(rows)} nights were good")
    sys.exit(0 if good == len(rows) else 1)


if __name__ == "__main__":
    main()
