"""Print what the record of programs costs a training in the sandbox: pairs of the same script with and without it.

Each pair runs the script with the recorder of programs and the hook in Python, and without both, in turns, the first
one changing.
Run: `python -m bench.hook PYTHON SCRIPT [ARGUMENT ...]`, PYTHON with what the script imports; PAIRS sets how many.
"""

import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

from ml_intern.execution.recording.programs_used import HOOK_FOLDER, hook_variables
from ml_intern.sandbox.bubblewrap import Profile
from ml_intern.sandbox.command import do_nothing
from ml_intern.sandbox.profile import SandboxRequest, build_profile
from ml_intern.sandbox.wrap import wrap

PAIRS = int(os.environ.get("PAIRS", "15"))
SHARE, SECONDS = 0.03, 0.02
"""What is allowed: a share of the run time, or these seconds, whichever is more."""


def profile_of(folder: Path, *, recorded: bool) -> Profile:
    """Return the profile of a command, with its programs recorded and Python's hook, or without."""
    given = build_profile(SandboxRequest(str(folder), network="list"), dict(os.environ))
    if not recorded:
        return given
    environment = {**given.environment, **hook_variables(given.environment)}
    return replace(given, programs=True, readable=(*given.readable, HOOK_FOLDER), environment=environment)


def run(command: tuple[str, ...], profile: Profile, folder: Path) -> float:
    """Return how many seconds the command took."""
    began = time.perf_counter()
    with wrap(command, profile, str(folder)) as wrapped:
        started = wrapped.start_captured(on_end=do_nothing, environment=wrapped.environment, folder=str(folder))
        while os.read(started.output, 65536):
            pass
        os.close(started.output)
        if started.process.wait():
            raise SystemExit("the script failed")
    return time.perf_counter() - began


def main() -> None:
    python, name, *arguments = sys.argv[1:]
    script = Path(name).resolve()
    command = (python, str(script), *arguments)
    profiles = {recorded: profile_of(script.parent, recorded=recorded) for recorded in (True, False)}
    run(command, profiles[False], script.parent)
    pairs = []
    for number in range(PAIRS):
        taken = {one: run(command, profiles[one], script.parent) for one in ((True, False), (False, True))[number % 2]}
        pairs.append((taken[True], taken[False]))
        print(f"pair {number + 1}: {taken[True]:.3f} s recorded, {taken[False]:.3f} s not", flush=True)
    without = statistics.median(off for _, off in pairs)
    more = statistics.median(on - off for on, off in pairs)
    least = min(on for on, _ in pairs) - min(off for _, off in pairs)
    share, allowed = 100 * more / without, max(SHARE * without, SECONDS)
    print(f"median {without:.3f} s, recorded {1000 * more:+.0f} ms ({share:+.1f} %), target {1000 * allowed:.0f} ms")
    print(f"between the least {1000 * least:+.0f} ms, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
