"""Print what the sandbox costs: a command run plainly and inside, and building the profile."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from safety.sandbox import wrap  # noqa: E402  (a script: the checkout first)
from safety.sandbox_profile import Wish, profile_for  # noqa: E402

RUNS = 100


def p50(action: Callable[[], object]) -> float:
    """Median of RUNS in milliseconds."""
    took = []
    for _ in range(RUNS):
        start = time.perf_counter()
        action()
        took.append((time.perf_counter() - start) * 1000)
    return statistics.median(took)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        profile = profile_for(Wish(folder), os.environ)

        def inside() -> None:
            with wrap(["bash", "-c", "true"], profile) as wrapped:
                subprocess.run(wrapped.argv, env=wrapped.environment, pass_fds=wrapped.pass_fds, check=True)

        plain = p50(lambda: subprocess.run(["bash", "-c", "true"], check=True, cwd=folder))
        walled = p50(inside)
        print(
            f"bash -c true, p50 of {RUNS}: {plain:.1f} ms plainly, {walled:.1f} ms inside: {walled - plain:.1f} ms more"
        )
        print(f"building the profile: {p50(lambda: profile_for(Wish(folder), os.environ)):.1f} ms")


if __name__ == "__main__":
    main()
