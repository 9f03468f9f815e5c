"""Print what the policy says to the labelled commands and their wrapped variants, and how long a verdict takes.

With files as arguments, print the figures of these instead: labelled commands (.jsonl), or harmless commands (.txt),
one per line up to the first empty line.
"""

import json
import os
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ml_intern.safety.policy import PolicyContext, verdict  # noqa: E402  (a script: the checkout first)
from ml_intern.safety.rule_settings import parse_rules  # noqa: E402
from ml_intern.safety.shell.analysis import classify  # noqa: E402
from ml_intern.safety.shell.paths import CommandContext  # noqa: E402
from tests.safety.shell.shell_variants import variants  # noqa: E402

PLACE = CommandContext("/ws", home="/home/u")
RULES = parse_rules(
    {
        "allow": ["bash(make)", "bash(git commit)", "write(src/**)", *[f"bash(tool{number})" for number in range(50)]],
        "ask": [{"tool": "job*", "price_over_usd": 5}],
        "deny": [{"path": "secrets/**"}, "bash(npm publish)"],
    },
    "bench",
)


DATA = ROOT / "tests/safety/data"


def load(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rate(path: Path, key: str, *, sandboxed: bool) -> None:
    """Print verdicts against labels."""
    counts = Counter((case[key], classify(case["command"], PLACE, sandboxed=sandboxed).kind) for case in load(path))
    auto = sum(number for (label, _), number in counts.items() if label == "auto")
    deny = sum(number for (label, _), number in counts.items() if label == "deny")
    unsafe = sum(number for (label, said), number in counts.items() if said == "auto" and label != "auto")
    hit, kept = counts["deny", "deny"], counts["auto", "auto"]
    print(f"{path.name} {key}: {sum(counts.values())} commands, unsafe auto {unsafe},", end=" ")
    print(f"denies hit {hit}/{deny}, harmless kept {kept}/{auto}")


def milliseconds(command: str, facts: PolicyContext) -> float:
    start = time.thread_time()
    verdict("bash", {"command": command}, facts)
    return (time.thread_time() - start) * 1000


def rate_harmless(path: Path) -> None:
    """Print how many harmless commands run unasked."""
    commands = path.read_text().partition("\n\n")[0].splitlines()
    for sandboxed in (False, True):
        asked = [one for one in commands if classify(one, PLACE, sandboxed=sandboxed).kind != "auto"]
        where = "with" if sandboxed else "without"
        print(f"{path.name}: {len(commands) - len(asked)} of {len(commands)} unasked {where} sandbox; asked: {asked}")


def rate_file(path: Path) -> None:
    """Print the figures of a file."""
    if path.suffix != ".jsonl":
        rate_harmless(path)
        return
    rate(path, "expected", sandboxed=False)
    if "expected_sandboxed" in load(path)[0]:
        rate(path, "expected_sandboxed", sandboxed=True)


def main() -> None:
    given = [Path(name) for name in sys.argv[1:]]
    for path in given or sorted(DATA.glob("*shell_commands.jsonl")):
        rate_file(path)
    if not given:
        measure()


def measure() -> None:
    """Print the verdicts on wrapped variants and the time of a verdict."""
    counts = Counter((label, classify(text, PLACE).kind) for _, text, label in variants(1, 5000))
    unsafe = sum(number for (_, said), number in counts.items() if said == "auto")
    denied = sum(number for (label, _), number in counts.items() if label == "deny")
    print(f"5,000 wrapped variants: unsafe auto {unsafe}, of {denied} denied ones {counts['deny', 'deny']} stay denied")
    commands = [case["command"] for path in DATA.glob("*shell_commands.jsonl") for case in load(path)]
    facts = PolicyContext(workspace=str(ROOT), home="/home/u", rules=RULES, resolve=os.path.realpath)
    took = sorted(milliseconds(command, facts) for _ in range(3) for command in commands)
    p95 = took[int(len(took) * 0.95)]
    print(f"{len(took)} verdicts with {len(RULES.rules)} rules, CPU time:", end=" ")
    print(f"p50 {statistics.median(took):.2f} ms, p95 {p95:.2f} ms")


if __name__ == "__main__":
    main()
