"""Run a command in a Hugging Face sandbox in the background, with its output and exit code in files there.

A command that the library waits for would be lost with the connection, and does not count as use of the sandbox.
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
"""The exit code of a command that reached its time limit."""
_START = (
    'd=$1 t=$2; shift 2; mkdir -p "${d%/*}"; mkdir "$d" 2>/dev/null || exit 0; '
    's=$(date +%s); if command -v timeout >/dev/null; then set -- timeout -k 10 "$t" "$@"; fi; '
    '"$@" >"$d/log" 2>&1 </dev/null & echo $! >"$d/pid"; wait $!; '
    'c=$?; [ $c -ge 124 ] && [ $(($(date +%s) - s)) -ge "$t" ] && c=124; '
    'echo $c >"$d/exit.new"; mv "$d/exit.new" "$d/exit"'
)
"""Start a command unless its folder exists, which means that it was started before.

`timeout` exits with 124 after TERM and with 137 after KILL, like a command that ran out of memory. The elapsed time
distinguishes the two."""
_READ = 'cat "$1/exit" 2>/dev/null; echo; tail -c "+$2" "$1/log" 2>/dev/null | head -c "$3" | base64'
_STOP = 'kill -s KILL -- "-$(cat "$1/pid")" 2>/dev/null'
"""Kills a process group: `timeout` starts one for itself and its command."""
_CHUNK = 1 << 18


@dataclass(frozen=True)
class RemoteCommand:
    """A command to run in a sandbox."""

    folder: str
    """A new folder for its output and exit code."""
    words: Sequence[str]
    cwd: str
    environment: Mapping[str, str]
    seconds: float
    """The time limit."""


@dataclass(frozen=True)
class Remote:
    """A started command."""

    folder: str
    process: str
    """Its process id in the sandbox."""


@dataclass(frozen=True)
class Progress:
    """New output of a command. `exit_code` is set once the command has ended and all its output was read."""

    exit_code: int | None
    output: bytes


async def start(sandboxes: Sandboxes, record: SandboxRecord, command: RemoteCommand) -> Remote:
    """Start a command, unless it was already started in its folder."""
    seconds = f"{command.seconds:.0f}"

    def begin(sandbox: "Sandbox") -> str:
        words = [SHELL, "-c", _START, "ml-intern", command.folder, seconds, *command.words]
        return str(sandbox.run(words, cwd=command.cwd, env=dict(command.environment), background=True).id or "")

    return Remote(command.folder, await sandboxes.use(record, begin))


async def read_progress(sandboxes: Sandboxes, record: SandboxRecord, remote: Remote, offset: int) -> Progress:
    """Return the next chunk of output after `offset` bytes, and the exit code once all output was read."""

    def ask(sandbox: "Sandbox") -> str:
        words = [SHELL, "-c", _READ, "ml-intern", remote.folder, str(offset + 1), str(_CHUNK)]
        return sandbox.run(words, check=False).stdout

    code, _, rest = (await sandboxes.use(record, ask)).partition("\n")
    output = base64.b64decode(rest)
    return Progress(int(code) if code and not output else None, output)


async def stop(sandboxes: Sandboxes, record: SandboxRecord, remote: Remote) -> None:
    """End a command and all its processes. A command that has ended stays as it is."""

    def end(sandbox: "Sandbox") -> None:
        sandbox.run([SHELL, "-c", _STOP, "ml-intern", remote.folder], check=False)
        for process in sandbox.processes():
            if process.id == remote.process and process.running:
                process.kill()

    await asyncio.shield(sandboxes.use(record, end))
