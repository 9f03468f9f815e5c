"""Delivered files, stored by SHA-256, and the working folder made of them."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import IO, Any

from ml_intern.runs.remote.far_side.folder import read_status

CHUNK = 1 << 18
UNUSED_BLOB_SECONDS = 30 * 24 * 3600
PRUNE_SECONDS = 24 * 3600
MIRROR = "mirror"
"""The folder of the files that rsync copied, each by a name of its path on the other side, so that it sends changes."""


def blob_path(root: Path, digest: str) -> Path:
    """Return the place of a delivered file."""
    return root / "blobs" / digest[:2] / digest


def missing(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Return the digests of the list that are not here, and the folder for rsync; "" without rsync.

    Those that are here count as used now.
    """
    absent = []
    for digest in order["digests"]:
        try:
            os.utime(blob_path(root, digest))
        except FileNotFoundError:
            absent.append(digest)
    prune(root)
    mirror = root / MIRROR
    if shutil.which("rsync") is None:
        return {"missing": absent, "mirror": ""}
    mirror.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {"missing": absent, "mirror": str(mirror.resolve())}


def adopt(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Store the files that rsync copied, and return the digests of those that did not arrive whole."""
    absent = []
    for digest, name in order["files"]:
        source, path = root / MIRROR / name, blob_path(root, digest)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            if digest_of(source) == digest:
                os.link(source, path)
                continue
        except FileExistsError:
            continue
        except OSError:
            pass  # it was not copied, or this file system has no hard links: it is sent
        absent.append(digest)
    return {"missing": absent}


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            found.update(part)
    return found.hexdigest()


def receive(root: Path, order: dict[str, Any], stream: IO[bytes]) -> dict[str, Any]:
    """Store the files that follow the order on standard input, each with the size and digest of the list."""
    for folder in {blob_path(root, digest).parent for digest, _ in order["files"]}:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for digest, size in order["files"]:
        path = blob_path(root, digest)
        fresh = path.with_name(f"{digest}.{os.getpid()}")
        try:
            if copy(stream, fresh, size) != digest:
                raise OSError("a file changed while it was sent, or the connection ended")
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    return {"received": len(order["files"])}


def copy(stream: IO[bytes], path: Path, size: int) -> str:
    """Copy `size` bytes to a file and return their SHA-256."""
    found = hashlib.sha256()
    with path.open("wb") as file:
        while size and (part := stream.read(min(size, CHUNK))):
            found.update(part)
            file.write(part)
            size -= len(part)
    return found.hexdigest()


def prepare(root: Path, folder: Path, order: dict[str, Any]) -> Path:
    """Create the working folder of a run from the delivered files, and return the folder to run in.

    Raises OSError for a file that is damaged, which is deleted, so that it is sent again.
    """
    work = folder / "work"
    for path, digest, mode in order["files"]:
        place = work / path
        place.parent.mkdir(parents=True, exist_ok=True)
        blob = blob_path(root, digest)
        with blob.open("rb") as stream:
            found = copy(stream, place, blob.stat().st_size)
        if found != digest:
            blob.unlink(missing_ok=True)  # another run may have found it too
            raise OSError(f"the copy of {path} was damaged, as by a power failure; start the run again to send it anew")
        place.chmod(mode)
    for path, target in order["links"]:
        place = work / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(target)
    cwd = work / str(order["folder"])
    cwd.mkdir(parents=True, exist_ok=True)
    return cwd


def prune(root: Path) -> None:
    """Delete delivered files that no run used for a month, and their copies in runs that ended before. Once a day.

    What a run wrote stays, as do its log and its status.
    """
    mark, now = root / "pruned", time.time()
    if mark.exists() and now - mark.stat().st_mtime < PRUNE_SECONDS:
        return
    for pattern in ("blobs/*/*", f"{MIRROR}/*"):
        for path in root.glob(pattern):
            if path.is_file() and now - path.stat().st_mtime > UNUSED_BLOB_SECONDS:
                path.unlink()
    for folder in root.glob("runs/*"):
        status = read_status(folder)
        if now - status.get("finished", now) > UNUSED_BLOB_SECONDS:
            _delete_copies(folder / "work", status.get("started", 0.0))
    mark.touch()


def _delete_copies(work: Path, started: float) -> None:
    """Delete the files of a run that are older than its start: those that it was given."""
    for path in work.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_mtime < started:
            path.unlink()
