"""Risky commands in wrappers that still run them, generated reproducibly from a seed."""

import json
import random
import shlex
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).parent.parent / "data"

# {} is the command as it stands, {q} the command as one quoted word.
WRAPPINGS = (
    "true && {}", "ls; {}", "ls\n{}", "{}\nls", "{} && ls", "ls || {}", "({})", "{{ {}; }}", "if true; then {}; fi",
    "for i in 1; do {}; done", "while true; do {}; break; done", "case x in x) {};; esac", "f() {{ {}; }}; f",
    "! {}", "time {}", "command {}", "env {}", "env A=1 {}", "A=1 {}", "timeout 5 {}", "nohup {} &", "setsid {}",
    "nice -n 5 {}", "sudo {}", "exec {}", "bash -c {q}", "sh -c {q}", "eval {q}", "bash -lc {q}", "echo {q} | sh",
    "bash <<< {q}", "sh <<'EOF'\n{}\nEOF", "$({})", "`{}`", "echo $({})", 'echo "$({})"', "cat <({})", "ls $({})",
    "x=$({})", "{} | cat", "ls | {}", "{} 2>/dev/null", "{} > out.txt", "{} &", "# note\n{}", "ls #\n{}",
    "ls \\\n; {}", "  {}", "\t{}", "stdbuf -o0 {}", "xargs -I% {}", "builtin {}", "coproc {}", "trap {q} EXIT",
    "find . -exec {} \\;", "watch {q}", "echo a; echo b; {}", "ls | grep x && {}", "cd src; {}",
    "test -f x && {}", "git status; {}", "unset A; {}", "export A=1; {}", "set -e; {}",
    "shopt -s expand_aliases; {}", "alias ls=id; {}", "until {}; do :; done", "[[ -f x ]] && {}",
)  # fmt: skip


def risky() -> list[tuple[str, str]]:
    """Return every labelled command that must not run unasked, with its expected verdict."""
    names = ("shell_commands.jsonl", "own_shell_commands.jsonl")
    cases = [json.loads(line) for name in names for line in (DATA / name).read_text().splitlines()]
    return [(case["command"], case["expected"]) for case in cases if case["expected"] != "auto" and case["command"]]


def risky_in_sandbox() -> list[str]:
    """Return the labelled commands that must not run unasked in the sandbox either."""
    cases = [json.loads(line) for line in (DATA / "shell_commands.jsonl").read_text().splitlines()]
    return [case["command"] for case in cases if case["expected_sandboxed"] != "auto" and case["command"]]


def disguised(command: str, rng: random.Random) -> str:
    """Return the command with its first word quoted, escaped, or given with its folder."""
    first, blank, rest = command.partition(" ")
    if not first.isalpha() or len(first) < 2:
        return command
    head, tail = first[0], first[1:]
    forms = (
        f"\\{first}",
        f"{first[0]}''{first[1:]}",
        f"{first[0]}\\{first[1:]}",
        f"'{first}'",
        f'"{first}"',
        f"{head}\\\n{tail}",
    )
    return rng.choice(forms) + blank + rest


def variants(seed: int, count: int) -> Iterator[tuple[str, str, str]]:
    """Yield wrapper, variant, and the expected verdict of the wrapped command."""
    rng = random.Random(seed)
    cases = risky()
    for _ in range(count):
        command, expected = rng.choice(cases)
        wrapping = rng.choice(WRAPPINGS)
        inner = disguised(command, rng) if rng.random() < 0.3 else command
        if rng.random() < 0.15:
            inner = rng.choice(WRAPPINGS).format(inner, q=shlex.quote(inner))
        yield wrapping, wrapping.format(inner, q=shlex.quote(inner)), expected
