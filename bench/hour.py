"""An hour of real time: a model server with delays and faults of real size, and a process that is killed now and then.

    python -m bench.hour [--minutes 60] [--seed 1] [--write]

Each reply takes seconds to begin, comes in pieces, and calls a command that takes seconds and leaves its number in a
file. As in bench/night.py, a loop of `ml-intern -c` restarts what ends. When the time is over, the server gives the
answer that ends the turn.
"""

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.night import ANSWER, Night, count, lives
from tests.fakes.model_server import Call, FakeModelServer, Reply, chat_frames, error

RESULTS = Path(__file__).with_suffix(".json")
KEEPALIVE = b": processing\n\n"
PAUSE_S = 0.05
"""The server's pause after each piece."""
REPLY_S, COMMAND_S = (1.0, 12.0), (0.2, 8.0)
"""Seconds until a reply begins, and seconds that a command takes."""
FAULTS = {"429": 0.03, "503": 0.03, "529": 0.02, "cut": 0.02, "stall": 0.005}
"""The share of requests with a fault: an HTTP error, a connection that breaks in the reply, silence for a minute."""
OUTAGE_S = 120.0
"""Once in the time, in its middle, all requests fail for so long."""
KILL_EVERY_S = (180.0, 420.0)


class Model:
    """The replies of the hour, chosen by the time and by the last call in the conversation."""

    def __init__(self, night: Night, seconds: float) -> None:
        self.night = night
        self.requests = 0
        self._dice = random.Random(night.seed)
        self._began, self._seconds = time.monotonic(), seconds

    def __call__(self, asked: dict[str, Any]) -> Reply:
        """Answer a request. The same conversation gets the same call, whether or not a reply arrived before."""
        self.requests += 1
        passed = time.monotonic() - self._began
        if 0 <= passed - self._seconds / 2 < OUTAGE_S:
            return self._fault("outage")
        number = last_number(asked["messages"]) + 1
        if passed > self._seconds:
            self.night.steps = number
            return Reply(text=ANSWER)
        draw = self._dice.random()
        for name, share in FAULTS.items():
            draw -= share
            if draw < 0:
                return self._fault(name, number)
        return Reply(pieces=partial(self._delayed, self._reply(number)))

    def _fault(self, name: str, number: int = 0) -> Reply:
        self.night.faults[name] += 1
        match name:
            case "cut":
                return Reply(calls=self._reply(number).calls, cut_after=6)
            case "stall":
                return Reply(calls=self._reply(number).calls, stall_after=3)
            case "429":
                return error(429, "slow down", retry_after="5")
            case "outage":
                return error(503, "down for maintenance")
            case status:
                return error(int(status), "try later")

    def _reply(self, number: int) -> Reply:
        wait = self._dice.uniform(*COMMAND_S)
        command = f"sleep {wait:.1f}; echo {number} >> log; seq {number} {number + 200}"
        return Reply(
            text=f"Step {number}: the next measurement.",
            calls=[Call("bash", json.dumps({"command": command}), f"call_{number}")],
        )

    def _delayed(self, reply: Reply) -> Iterator[bytes]:
        for _ in range(int(self._dice.uniform(*REPLY_S) / PAUSE_S)):
            yield KEEPALIVE
        yield from chat_frames(reply)


def last_number(messages: list[dict[str, Any]]) -> int:
    """The number of the last call in a conversation; -1 if there is none."""
    for message in reversed(messages):
        for call in message.get("tool_calls") or ():
            return int(call["id"].removeprefix("call_"))
    return -1


def kill_times(dice: random.Random, seconds: float) -> list[tuple[float, str]]:
    """Moments, in seconds from the start, at which the process gets a signal."""
    moments: list[tuple[float, str]] = []
    moment = dice.uniform(*KILL_EVERY_S)
    while moment < seconds:
        moments.append((moment, dice.choice(("SIGKILL", "SIGKILL", "SIGTERM"))))
        moment += dice.uniform(*KILL_EVERY_S)
    return moments


def play(night: Night, folder: Path, seconds: float) -> int:
    """Play the time to its end. Return the number of requests."""
    work, log = folder / "work", folder / "work/log"
    work.mkdir()
    log.touch()
    waiting, began = kill_times(random.Random(night.seed), seconds), time.monotonic()

    def due() -> str | None:
        return waiting.pop(0)[1] if waiting and time.monotonic() - began > waiting[0][0] else None

    model = Model(night, seconds)
    with FakeModelServer(default=model) as server:
        answer = lives(folder, ("-m", "fake", "--base-url", server.url), due, night, limit_s=2 * seconds + 600)
    night.seconds = round(time.monotonic() - began, 1)
    count(night, log, answer)
    return model.requests


def main() -> None:
    """Play the hour and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"write the report to {RESULTS.name}")
    given = parser.parse_args()
    night = Night(given.seed, steps=0)
    with TemporaryDirectory(prefix="ml-intern-hour-") as folder:
        requests = play(night, Path(folder), 60 * given.minutes)
        errors = Path(folder, "errors").read_text(errors="replace").splitlines()[-20:] if night.stuck else []
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    report = {**night.as_json(), "requests": requests, "peak_mb": round(peak_mb)}
    print(json.dumps(report, indent=1), *errors, sep="\n")
    if given.write:
        RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(0 if night.is_good else 1)


if __name__ == "__main__":
    main()
