"""Print what the sandbox costs: a command run plainly, in a new sandbox, and in one that was started ahead.

The kinds are run in turn, because other work on the machine slows everything down for a while. Run it with
`nice -n -20` or `chrt -r 20` where that is allowed. The arguments are the kinds of sandbox, by default both.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ml_intern.sandbox import spare  # noqa: E402  (a script: the checkout first)
from ml_intern.sandbox.basic.wrapping import basic_problem  # noqa: E402
from ml_intern.sandbox.bubblewrap import Kind, Profile, sandbox_problem  # noqa: E402
from ml_intern.sandbox.command import WrappedCommand, do_nothing  # noqa: E402
from ml_intern.sandbox.profile import SandboxRequest, build_profile  # noqa: E402
from ml_intern.sandbox.wrap import wrap  # noqa: E402

RUNS = 100
KINDS: tuple[Kind, ...] = ("bubblewrap", "basic")
SHELL = "/bin/bash"
COMMAND = (SHELL, "-c", "true")
READY_SECONDS = 0.05


def milliseconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def profile_of(folder: str, kind: Kind) -> Profile:
    """Return the profile as for every command."""
    return build_profile(SandboxRequest(folder, network="list", kind=kind), dict(os.environ))


def plain(folder: str) -> None:
    """Run the command without a sandbox."""
    subprocess.run(COMMAND, check=True, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def new(folder: str, kind: Kind) -> None:
    """Run the command in a new sandbox."""
    to_its_end(wrap(COMMAND, profile_of(folder, kind), folder), folder)


def ahead(folder: str, kind: Kind) -> None:
    """Run the command in a sandbox that waits."""
    to_its_end(spare.wrap_captured(COMMAND, profile_of(folder, kind), folder, SHELL), folder)


def to_its_end(command: WrappedCommand, folder: str) -> None:
    """Start a command, read its output, and close it."""
    with command:
        started = command.start_captured(on_end=do_nothing, environment=command.environment, folder=folder)
        while os.read(started.output, 4096):
            pass
        os.close(started.output)
        if started.process.wait():
            raise SystemExit("the command failed")


def main() -> None:
    problems = {"bubblewrap": sandbox_problem(), "basic": basic_problem()}
    for kind in KINDS:
        if not sys.argv[1:] or kind in sys.argv[1:]:
            print(f"{kind}: {problem[0]}" if (problem := problems[kind]) else f"{kind}:")
            if not problem:
                measure(kind)


def measure(kind: Kind) -> None:
    """Print the figures of a kind."""
    took: dict[str, list[float]] = {"plain": [], "building the profile": [], "new": [], "started ahead": []}
    with tempfile.TemporaryDirectory() as folder:
        ahead(folder, kind)
        for _ in range(RUNS):
            time.sleep(READY_SECONDS)
            took["started ahead"].append(milliseconds(partial(ahead, folder, kind)))
            time.sleep(READY_SECONDS)
            took["plain"].append(milliseconds(partial(plain, folder)))
            took["building the profile"].append(milliseconds(partial(profile_of, folder, kind)))
            took["new"].append(milliseconds(partial(new, folder, kind)))
        spare.end_waiting()
    base = statistics.median(took["plain"])
    for name, times in took.items():
        over = "" if name in {"plain", "building the profile"} else f", {statistics.median(times) - base:.1f} ms more"
        print(
            f"  {name}: median {statistics.median(times):.1f} ms, fastest tenth {sorted(times)[RUNS // 10]:.1f}{over}"
        )


if __name__ == "__main__":
    main()
