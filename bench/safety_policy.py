"""Print what the policy says to the labelled commands and their wrapped variants, and how long a verdict takes."""

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


def load(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (ROOT / "tests/safety/data" / name).read_text().splitlines()]


def rate(name: str, key: str, *, sandboxed: bool) -> None:
    """Print verdicts against labels."""
    counts = Counter((case[key], classify(case["command"], PLACE, sandboxed=sandboxed).kind) for case in load(name))
    auto = sum(number for (label, _), number in counts.items() if label == "auto")
    deny = sum(number for (label, _), number in counts.items() if label == "deny")
    unsafe = sum(number for (label, said), number in counts.items() if said == "auto" and label != "auto")
    hit, kept = counts["deny", "deny"], counts["auto", "auto"]
    print(f"{name} {key}: {sum(counts.values())} commands, unsafe auto {unsafe},", end=" ")
    print(f"denies hit {hit}/{deny}, harmless kept {kept}/{auto}")


def milliseconds(command: str, facts: PolicyContext) -> float:
    start = time.thread_time()
    verdict("bash", {"command": command}, facts)
    return (time.thread_time() - start) * 1000


def main() -> None:
    rate("shell_commands.jsonl", "expected", sandboxed=False)
    rate("shell_commands.jsonl", "expected_sandboxed", sandboxed=True)
    rate("own_shell_commands.jsonl", "expected", sandboxed=False)
    counts = Counter((label, classify(text, PLACE).kind) for _, text, label in variants(1, 5000))
    unsafe = sum(number for (_, said), number in counts.items() if said == "auto")
    denied = sum(number for (label, _), number in counts.items() if label == "deny")
    print(f"5,000 wrapped variants: unsafe auto {unsafe}, of {denied} denied ones {counts['deny', 'deny']} stay denied")
    commands = [case["command"] for name in ("shell_commands.jsonl", "own_shell_commands.jsonl") for case in load(name)]
    facts = PolicyContext(workspace=str(ROOT), home="/home/u", rules=RULES, resolve=os.path.realpath)
    took = sorted(milliseconds(command, facts) for _ in range(3) for command in commands)
    p95 = took[int(len(took) * 0.95)]
    print(f"{len(took)} verdicts with {len(RULES.rules)} rules, CPU time:", end=" ")
    print(f"p50 {statistics.median(took):.2f} ms, p95 {p95:.2f} ms")


if __name__ == "__main__":
    main()
