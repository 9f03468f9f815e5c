"""Send the files of a working folder that another machine does not have yet: large ones by rsync where both have it."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_intern.execution.call import ToolError
from ml_intern.runs.remote.connection import FarSide
from ml_intern.runs.remote.tree import DeliveredFolder

LARGE_BYTES = 1 << 20
"""Smaller files are sent together in one stream, which takes fewer requests."""
_NAME_CHARACTERS = 32


async def deliver(far_side: FarSide, tree: DeliveredFolder, script: Mapping[str, bytes]) -> None:
    """Send the files that are not there yet, and the texts of `script` by digest. Raises ToolError, TemporaryError."""
    parts: dict[str, Path | bytes] = {one.digest: tree.root / one.path for one in tree.files} | dict(script)
    sizes = {one.digest: one.size for one in tree.files} | {digest: len(text) for digest, text in script.items()}
    answer = await far_side.call("missing", {"digests": list(parts)})
    absent = await _without_large(far_side, tree, answer["missing"], answer["mirror"])
    if absent:
        files = [[digest, sizes[digest]] for digest in absent]
        try:
            await far_side.call("receive", {"files": files}, [parts[digest] for digest in absent])
        except FileNotFoundError as error:
            raise ToolError(f"{error.filename} was deleted while it was sent; start the run again") from error


async def _without_large(far_side: FarSide, tree: DeliveredFolder, absent: Sequence[str], mirror: str) -> Sequence[str]:
    """Send the large files among the absent ones by rsync, and return what is absent then."""
    wanted = set(absent)
    large = {one.digest: tree.root / one.path for one in tree.files if one.size >= LARGE_BYTES and one.digest in wanted}
    if not large or not mirror or not far_side.can_rsync:
        return absent
    names = {digest: _name(path) for digest, path in large.items()}
    with tempfile.TemporaryDirectory(prefix="ml-intern-") as folder:
        for digest, path in large.items():
            (Path(folder) / names[digest]).symlink_to(path.resolve())
        await far_side.rsync(Path(folder), mirror)
    left = set((await far_side.call("adopt", {"files": list(names.items())}))["missing"])
    return [digest for digest in absent if digest in left or digest not in large]


def _name(path: Path) -> str:
    """Return the name of a file on the other side, the same for all its versions."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:_NAME_CHARACTERS]
