"""Call the far side: over ssh, or for a Slurm cluster of this machine directly."""

import asyncio
import io
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_intern.configs.errors import TemporaryError
from ml_intern.configs.paths import private_folder
from ml_intern.configs.settings import ComputeTarget
from ml_intern.execution.call import ToolError
from ml_intern.runs.remote.far_side.serve import MARK, PROBLEMS, UNUSABLE
from ml_intern.runs.remote.far_side_file import far_side_file, loader
from ml_intern.safety.secrets.known import without_secrets
from ml_intern.text.visible import visible

MAX_SESSIONS = 6
"""Operations on one machine at the same time. A server of OpenSSH accepts ten in one connection."""
SECONDS = 60.0
SLOWEST_BYTES_PER_SECOND = 50_000
CHUNK = 1 << 18
MAX_SOCKET_FOLDER = 46
"""Length of a folder for the sockets of ssh, in bytes: with their names, 58 more, a path may have at most 104."""
CONNECTION_FAILED = 255
NOT_FOUND = 127
_OS_ERROR = re.compile(r"\w+: \[Errno (\d+)\]")
"""The last line of a program that could not use its folder."""
_REMEDIES = {
    "REMOTE HOST IDENTIFICATION HAS CHANGED": (
        "its host key has changed",
        "make sure that it is the right machine, then remove the old key with `ssh-keygen -R HOST`",
    ),
    "Host key verification failed": ("its host key is unknown", "connect once with `ssh HOST` and check the key"),
    "Permission denied": ("it refused the login", "check the user and key with `ssh HOST true`"),
    "Could not resolve hostname": ("its name does not resolve", "check the host in the settings"),
}


class FarSide:
    """Performs operations on one target. `sockets` is a folder for ssh's sockets; with None, each operation logs in."""

    def __init__(self, name: str, target: ComputeTarget, sockets: Path | None) -> None:
        self.name, self.target = name, target
        self._sockets = sockets
        self._sessions = asyncio.Semaphore(MAX_SESSIONS)

    async def call(
        self, operation: str, order: Mapping[str, Any], files: Sequence[Path | bytes] = ()
    ) -> dict[str, Any]:
        """Perform an operation and return its answer. `files` follow the order.

        Raises:
            TemporaryError: the machine cannot be reached or did not answer.
            ToolError: the operation failed there.
        """
        async with self._sessions:
            parts = [_line(order), *files]
            answer = await self._send(operation, parts)
            if answer.get("absent"):
                await self._send("install", [far_side_file()])
                answer = await self._send(operation, parts)
        if problem := answer.get("error"):
            raise ToolError(f"{self.name}: {visible(str(problem))}")
        return answer

    async def _send(self, operation: str, parts: Sequence[Path | bytes]) -> dict[str, Any]:
        seconds = SECONDS + sum(map(_size, parts)) / SLOWEST_BYTES_PER_SECOND
        with tempfile.TemporaryFile() as errors:  # a pipe would stay open in ssh's shared connection
            process = await asyncio.create_subprocess_exec(
                *self._words(operation),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=without_secrets(os.environ),
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(seconds):
                    output = await _exchange(process, parts)
            except TimeoutError:
                raise TemporaryError(f"{self.name} did not answer within {seconds:.0f} s", "try again later") from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            errors.seek(0)
            said = errors.read().decode(errors="replace")
        found = output.rpartition(f"\n{MARK}".encode())
        if found[1]:
            answer: dict[str, Any] = json.loads(found[2].split(b"\n")[0])
            return answer
        raise self._failure(process.returncode or 0, said or output.decode(errors="replace"))

    @property
    def can_rsync(self) -> bool:
        """Whether files can be sent by rsync, if the machine has it too."""
        return bool(self.target.host) and shutil.which("rsync") is not None

    async def rsync(self, source: Path, place: str) -> None:
        """Copy the files that a folder links to. What does not arrive has to be sent in another way.

        A file that was copied before under its name is sent as its changes, and one that was cut off is continued.
        """
        options = ["-rLz", "--ignore-times", "-s", "--partial-dir=.part", "--chmod=D700,F600"]
        words = [*options, f"--timeout={SECONDS:.0f}", "-e", shlex.join(self._ssh()), f"{source}/"]
        nothing = asyncio.subprocess.DEVNULL
        async with self._sessions:
            process = await asyncio.create_subprocess_exec(
                *("rsync", *words, f"{self.target.host}:{place}/"),
                stdin=nothing, stdout=nothing, stderr=nothing,
                env=without_secrets(os.environ), start_new_session=True,
            )  # fmt: skip
            try:
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    def _words(self, operation: str) -> list[str]:
        line = loader(self.target.workdir, operation)
        if not self.target.host:
            return shlex.split(line)
        return [*self._ssh(), "--", self.target.host, line]

    def _ssh(self) -> list[str]:
        """Return ssh with its options, without a host."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "15",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "3",
            "ControlMaster": "no",
            "ControlPath": "none",
        }
        if self._sockets is not None:
            _own_folder(self._sockets)
            options |= {"ControlMaster": "auto", "ControlPersist": "600", "ControlPath": f"{self._sockets}/%C"}
        words = ["ssh", "-T", *(f"-o{name}={value}" for name, value in options.items())]
        return [*words, *self._login()[:-1]]

    def _login(self) -> list[str]:
        """Return the words after `ssh` with which the user logs in."""
        words = ["-F", str(Path(self.target.ssh_config).expanduser())] if self.target.ssh_config else []
        return [*words, *(["-p", str(self.target.port)] if self.target.port else []), self.target.host]

    def _failure(self, code: int, said: str) -> Exception:
        """Explain an operation without an answer."""
        last = visible(" ".join(said.strip().splitlines()[-1:]))[:300]
        if self.target.host and code == CONNECTION_FAILED:
            problem, remedy = next(
                (known for sign, known in _REMEDIES.items() if sign in said),
                (last or "the connection was lost", f"check it with `ml-intern compute test {self.name}`"),
            )
            remedy = remedy.replace("ssh HOST", shlex.join(["ssh", *self._login()]))
            return TemporaryError(f"{self.name} cannot be reached: {problem}", remedy.replace("HOST", self.target.host))
        if code == NOT_FOUND:
            return ToolError(f"{self.name} has no python3; install Python 3.8 or later there")
        if found := _OS_ERROR.match(last):
            number = int(found[1])
            problem = PROBLEMS.get(number, UNUSABLE).format(self.target.workdir, os.strerror(number))
            return ToolError(f"{self.name}: {problem}")
        return ToolError(f"{self.name} failed: {last or f'exit code {code}'}")


def sockets_folder(home: Path) -> Path:
    """Return the folder for ssh's sockets: in the data folder, else, if its path is too long, in the temporary one."""
    folder = home / "ssh"
    if len(os.fsencode(folder)) <= MAX_SOCKET_FOLDER:
        return folder
    return Path(tempfile.gettempdir()) / f"ml-intern-ssh-{os.getuid()}"


def _own_folder(path: Path) -> None:
    """Create a private folder. Raises ToolError if it belongs to somebody else, as it may in a shared folder."""
    if path.is_symlink() or (path.exists() and path.stat().st_uid != os.getuid()):
        raise ToolError(f"{path} belongs to another user; set ML_INTERN_HOME to a shorter path")
    private_folder(path)


async def _exchange(process: asyncio.subprocess.Process, parts: Iterable[Path | bytes]) -> bytes:
    """Send everything and return what is answered."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process has no pipes")
    reading = asyncio.ensure_future(process.stdout.read())
    try:
        blocks = _blocks(parts)
        while block := await asyncio.to_thread(next, blocks, b""):
            process.stdin.write(block)
            await process.stdin.drain()
        process.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        pass  # it ended before it read everything; its output says why
    output = await reading
    await process.wait()
    return output


def _blocks(parts: Iterable[Path | bytes]) -> Iterator[bytes]:
    """Yield the content of all parts in blocks of about CHUNK bytes, however small the files are. It blocks."""
    block = bytearray()
    for part in parts:
        with io.BytesIO(part) if isinstance(part, bytes) else part.open("rb") as file:
            while content := file.read(CHUNK):
                block += content
                if len(block) >= CHUNK:
                    yield bytes(block)
                    block.clear()
    if block:
        yield bytes(block)


def _line(order: Mapping[str, Any]) -> bytes:
    return json.dumps(order).encode() + b"\n"


def _size(part: Path | bytes) -> int:
    return len(part) if isinstance(part, bytes) else part.stat().st_size
