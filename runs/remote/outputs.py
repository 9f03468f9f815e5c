"""Copy files of a remote run to this machine, checked by their digests."""

import asyncio
import base64
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from ml_intern.configs.errors import TemporaryError
from ml_intern.execution.call import ToolError
from ml_intern.execution.output import private_opener
from ml_intern.runs.backends.base import Outputs, RunOutput
from ml_intern.safety.files.protected import Place, find_control
from ml_intern.text.formatting import plural
from ml_intern.text.visible import visible

MAX_FILE_BYTES = 256 << 20
"""A larger file stays where it is and is named."""
MAX_FILES = 1_000
PART_BYTES = 4 << 20
UPLOAD = (
    "it stays there; to put it on the Hub, run on that target, with HF_TOKEN in secrets: "
    "uvx --from huggingface_hub hf upload USER/REPO {0}"
)


class AnswersCalls(Protocol):
    """Performs operations of the far side on one target."""

    async def call(self, operation: str, order: Mapping[str, Any], /) -> dict[str, Any]:
        """Perform an operation and return its answer. Raises TemporaryError and ToolError."""
        ...


async def fetch_outputs(
    far_side: AnswersCalls, id: str, patterns: Sequence[str], place: Path, *, written: bool = False
) -> Outputs:
    """Copy the files of a run that match the patterns below `place`, all or only those that the run has `written`.

    Raises:
        ToolError: a pattern leaves the folder, or a file changed meanwhile.
        TemporaryError: the machine does not answer, or the disk here is full.
    """
    if any(PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts for pattern in patterns):
        raise ToolError("the patterns must be relative to the folder of the run, without ..")
    answer = await far_side.call("outputs", {"id": id, "patterns": list(patterns), "written": written})
    found = [RunOutput(str(path), int(size), str(digest)) for path, size, digest in answer["files"]]
    notes = [f"not copied: {plural(len(found) - MAX_FILES, 'more file')}"] if len(found) > MAX_FILES else []
    copied = []
    for one in found[:MAX_FILES]:
        if why := _left_out(one, place, answer["folder"]):
            notes.append(f"not copied: {visible(one.path)} ({why})")
            continue
        await _fetch(far_side, id, one, place / one.path)
        copied.append(one)
    return Outputs(copied, notes)


def _left_out(one: RunOutput, place: Path, folder: str) -> str:
    if ".." in PurePosixPath(one.path).parts or PurePosixPath(one.path).is_absolute():
        return "its path leaves the folder"
    if one.size > MAX_FILE_BYTES:
        digest = f", sha256 {one.digest}" if one.digest else ""
        return f"{one.size:,} bytes{digest}; {UPLOAD.format(shlex.quote(f'{folder}/{one.path}'))}"
    if not one.digest:
        return "too much at once to check it; fetch it with fewer files"
    control = find_control(str(place / one.path), Place(str(place)))
    return control.why if control else ""


async def _fetch(far_side: AnswersCalls, id: str, one: RunOutput, path: Path) -> None:
    fresh = path.with_name(f"{path.name}.part")
    try:
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        with await asyncio.to_thread(open, fresh, "wb", opener=private_opener) as file:
            digest = await _copy(far_side, id, one, file)
        if digest != one.digest:
            raise ToolError(f"{one.path} changed while it was copied; fetch it again when the run has ended")
        await asyncio.to_thread(fresh.replace, path)
    except OSError as error:
        raise TemporaryError(f"{path} cannot be written: {error.strerror}", "free disk space") from error
    finally:
        await asyncio.to_thread(fresh.unlink, missing_ok=True)


async def _copy(far_side: AnswersCalls, id: str, one: RunOutput, file: IO[bytes]) -> str:
    """Copy a file part by part, and return its SHA-256."""
    found, offset = hashlib.sha256(), 0
    while offset < one.size:
        answer = await far_side.call("content", {"id": id, "path": one.path, "offset": offset, "bytes": PART_BYTES})
        part = base64.b64decode(answer["text"])
        if not part:
            break
        found.update(part)
        await asyncio.to_thread(file.write, part)
        offset += len(part)
    return found.hexdigest()
