"""A command in a Hugging Face sandbox: started apart, its output and exit code kept in files there, and read from them.

A command that the library itself waits for would be lost with the connection, and does not count as use of the sandbox.
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_intern.runs.backends.hub_sandbox import Sandboxes
from ml_intern.runs.backends.sandbox_records import SandboxRecord

if TYPE_CHECKING:
    from huggingface_hub import Sandbox

SHELL = "/bin/sh"
TIMED_OUT = 124
"""The exit code of a command that was ended at its time."""
_START = (
    'd=$1 t=$2; shift 2; mkdir -p "${d%/*}"; mkdir "$d" 2>/dev/null || exit 0; '
    's=$(date +%s); if command -v timeout >/dev/null; then set -- timeout -k 10 "$t" "$@"; fi; '
    '"$@" >"$d/log" 2>&1 </dev/null & echo $! >"$d/pid"; wait $!; '
    'c=$?; [ $c -ge 124 ] && [ $(($(date +%s) - s)) -ge "$t" ] && c=124; '
    'echo $c >"$d/exit.new"; mv "$d/exit.new" "$d/exit"'
)
"""`timeout` ends with 124 after TERM and with 137 after KILL, as does a command that ran out of memory.

A folder that is there says that the command was started before: it is not started again."""
_LOOK = 'cat "$1/exit" 2>/dev/null; echo; tail -c "+$2" "$1/log" 2>/dev/null | head -c "$3" | base64'
_STOP = 'kill -s KILL -- "-$(cat "$1/pid")" 2>/dev/null'
"""The program `timeout` makes a group of its own of itself and what it runs."""
_CHUNK = 1 << 18


@dataclass(frozen=True)
class RemoteCommand:
    """What to run in a sandbox."""

    folder: str
    """Where its output and its exit code go; it is new."""
    words: Sequence[str]
    cwd: str
    environment: Mapping[str, str]
    seconds: float
    """After so long it is ended."""


@dataclass(frozen=True)
class Remote:
    """A command that was started."""

    folder: str
    process: str
    """The sandbox's own id of it."""


@dataclass(frozen=True)
class Progress:
    """What is new of a command. `exit_code` is there once it ended and all of its output was read."""

    exit_code: int | None
    output: bytes


async def start(sandboxes: Sandboxes, record: SandboxRecord, command: RemoteCommand) -> Remote:
    """Start a command, unless it was started in that folder before."""
    seconds = f"{command.seconds:.0f}"

    def begin(sandbox: "Sandbox") -> str:
        words = [SHELL, "-c", _START, "ml-intern", command.folder, seconds, *command.words]
        return str(sandbox.run(words, cwd=command.cwd, env=dict(command.environment), background=True).id or "")

    return Remote(command.folder, await sandboxes.use(record, begin))


async def look(sandboxes: Sandboxes, record: SandboxRecord, remote: Remote, offset: int) -> Progress:
    """The output after the first `offset` bytes, at most a piece of it, and how it ended."""

    def ask(sandbox: "Sandbox") -> str:
        words = [SHELL, "-c", _LOOK, "ml-intern", remote.folder, str(offset + 1), str(_CHUNK)]
        return sandbox.run(words, check=False).stdout

    code, _, rest = (await sandboxes.use(record, ask)).partition("\n")
    output = base64.b64decode(rest)
    return Progress(int(code) if code and not output else None, output)


async def stop(sandboxes: Sandboxes, record: SandboxRecord, remote: Remote) -> None:
    """End a command with all its processes; nothing happens when it ended before."""

    def end(sandbox: "Sandbox") -> None:
        sandbox.run([SHELL, "-c", _STOP, "ml-intern", remote.folder], check=False)
        for process in sandbox.processes():
            if process.id == remote.process and process.running:
                process.kill()

    await asyncio.shield(sandboxes.use(record, end))
