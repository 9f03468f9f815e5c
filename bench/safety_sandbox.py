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

from safety.sandbox import Profile, wrap  # noqa: E402  (a script: the checkout first)
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
        plain = p50(lambda: subprocess.run(["bash", "-c", "true"], check=True, cwd=folder))
        print(f"bash -c true, p50 of {RUNS}: {plain:.1f} ms without a sandbox")
        for network in ("list", "off", "on"):
            profile = profile_for(Wish(folder, network=network), os.environ)
            walled = p50(lambda profile=profile: inside(profile))
            print(f"  inside, network {network}: {walled:.1f} ms, {walled - plain:.1f} ms more")
        print(f"building the profile: {p50(lambda: profile_for(Wish(folder), os.environ)):.1f} ms")


def inside(profile: Profile) -> None:
    with wrap(["bash", "-c", "true"], profile) as wrapped, wrapped.start() as process:
        if process.wait():
            raise SystemExit("the command failed")


if __name__ == "__main__":
    main()
