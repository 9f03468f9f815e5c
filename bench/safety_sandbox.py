"""Print what the sandbox costs: a command run plainly and inside, what bubblewrap alone costs, building the profile.

Other work on the machine slows namespaces down more than plain commands: the fastest tenth is shown beside the median.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ml_intern.sandbox.bubblewrap import Profile, wrap  # noqa: E402  (a script: the checkout first)
from ml_intern.sandbox.profile import SandboxRequest, build_profile  # noqa: E402

RUNS = 100


BARE = (
    "bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--new-session",
    "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp",
)  # fmt: skip


@dataclass(frozen=True)
class Took:
    """Milliseconds of RUNS of something."""

    median: float
    fastest: float
    """A tenth were faster."""

    def __str__(self) -> str:
        return f"{self.median:.1f} ms ({self.fastest:.1f})"

    def over(self, other: "Took") -> str:
        """What it took more."""
        return f"{self.median - other.median:.1f} ms ({self.fastest - other.fastest:.1f}) more"


def timed(action: Callable[[], object]) -> Took:
    """Do it RUNS times."""
    took = []
    for _ in range(RUNS):
        start = time.perf_counter()
        action()
        took.append((time.perf_counter() - start) * 1000)
    took.sort()
    return Took(statistics.median(took), took[RUNS // 10])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = ["bash", "-c", "true"]
        plain = timed(lambda: subprocess.run(command, check=True, cwd=folder))
        print(f"bash -c true, median of {RUNS} (fastest tenth): {plain} without a sandbox")
        print(f"  bubblewrap alone: {timed(lambda: subprocess.run([*BARE, *command], check=True)).over(plain)}")
        for network in ("list", "off", "on"):
            profile = build_profile(SandboxRequest(folder, network=network), os.environ)
            sandboxed = timed(partial(inside, profile))
            print(f"  inside, network {network}: {sandboxed}, {sandboxed.over(plain)}")
        print(f"building the profile: {timed(lambda: build_profile(SandboxRequest(folder), os.environ))}")


def inside(profile: Profile) -> None:
    with wrap(["bash", "-c", "true"], profile) as wrapped, wrapped.start() as process:
        if process.wait():
            raise SystemExit("the command failed")


if __name__ == "__main__":
    main()
