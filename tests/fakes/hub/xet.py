"""Xet storage of the fake Hub: a folder that the real hf_xet writes to, and the routes of tokens and buckets.

The library uploads so by default. HF_HUB_DISABLE_XET=1 makes it use git LFS instead, without buckets.
"""

import json
import shutil
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.fakes.hub.accounts import refusal
from tests.fakes.hub.repositories import moment, word, writable

if TYPE_CHECKING:
    from tests.fakes.hub.server import FakeHub

_HEADER = _ENTRY = 48
_END = b"\xff" * 32
_VERIFIED, _DESCRIBED = 1 << 31, 1 << 30


@dataclass(frozen=True)
class Stored:
    """A file in a storage folder. `sha256` is empty where the client did not compute it."""

    folder: Path
    hash: str
    size: int
    sha256: str


class Xet:
    """Storage folders. A process that uses one holds it open: each token gives a new one."""

    def __init__(self) -> None:
        self._root: Path | None = None
        self._folders: list[Path] = []

    def close(self) -> None:
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    def opened(self, contents: Iterable[bytes] = ()) -> str:
        """The address of a new folder that holds these contents."""
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="fake-hub-xet-"))
        folder = self._root / f"storage{len(self._folders)}"
        folder.mkdir()
        self._folders.append(folder)
        if held := list(contents):
            with _session().new_upload_commit(**_access(folder)) as commit:
                for content in held:
                    commit.start_upload_bytes(content, sha256=_library().COMPUTE_SHA256)
        return f"local://{folder}"

    def get(self, stored: Stored) -> bytes:
        """The content of a file, from a copy: whoever wrote it may hold the original open."""
        with tempfile.TemporaryDirectory() as scratch:
            copy, target = Path(scratch, "storage"), Path(scratch, "content")
            shutil.copytree(stored.folder, copy)
            with _session().new_file_download_group(**_access(copy)) as group:
                group.start_download_file(_library().XetFileInfo(stored.hash, stored.size), str(target))
            return target.read_bytes()

    def by_hash(self, hash: str) -> Stored:
        """The file with this xet hash."""
        return next(one for one in self._stored() if one.hash == hash)

    def by_sha256(self, sha256: str) -> Stored | None:
        """The file with this sha256."""
        return next((one for one in self._stored() if one.sha256 == sha256), None)

    def _stored(self) -> Iterator[Stored]:
        for folder in self._folders:
            for shard in folder.glob("xet/xorbs/shards/*.mdb"):
                yield from _files_of(folder, shard.read_bytes())


def hash_of(content: bytes) -> str:
    """The xet hash of content."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return str(_library().hash_files([file.name])[0].hash)


def _library() -> Any:
    import hf_xet

    return hf_xet


def _session() -> Any:
    return _library().XetSession()


def _access(folder: Path) -> dict[str, Any]:
    return {"endpoint": f"local://{folder}", "token": "x", "token_expiry_unix_secs": int(time.time()) + 3600}


def _files_of(folder: Path, shard: bytes) -> Iterator[Stored]:
    """The files of a shard: for each a header, its segments, then what is verified and described of it."""
    at = _HEADER
    while shard[at : at + 32] != _END:
        hash, (flags, segments) = _hex(shard[at : at + 32]), struct.unpack_from("<II", shard, at + 32)
        at += _ENTRY
        size = sum(struct.unpack_from("<I", shard, at + n * _ENTRY + 36)[0] for n in range(segments))
        at += segments * _ENTRY * (2 if flags & _VERIFIED else 1)
        sha256 = _hex(shard[at : at + 32]) if flags & _DESCRIBED else ""
        at += _ENTRY if flags & _DESCRIBED else 0
        yield Stored(folder, hash, size, sha256)


def _hex(raw: bytes) -> str:
    return "".join(f"{part:016x}" for part in struct.unpack("<4Q", raw))


def _token(address: str) -> Response:
    expires = int(time.time()) + 3600
    told = {"casUrl": address, "accessToken": "xet", "exp": expires}
    named = {
        "X-Xet-Cas-Url": address,
        "X-Xet-Access-Token": "xet",
        "X-Xet-Token-Expiration": str(expires),
    }
    return JSONResponse(told, headers=named)


async def repository_token(hub: "FakeHub", request: Request) -> Response:
    if word(request, "access") == "write" and not request.query_params.get("create_pr"):
        writable(hub, request)
    return _token(hub.xet.opened())


async def bucket_token(hub: "FakeHub", request: Request) -> Response:
    files = _bucket(hub, request)
    return _token(hub.xet.opened(files.values() if word(request, "access") == "read" else ()))


def _id(hub: "FakeHub", request: Request) -> str:
    account = hub.account(request)
    namespace = word(request, "ns")
    return f"{account.name if account and namespace == 'me' else namespace}/{word(request, 'name')}"


def _bucket(hub: "FakeHub", request: Request) -> dict[str, bytes]:
    found = hub.jobs.buckets.get(_id(hub, request))
    if found is None:
        raise refusal(404 if hub.account(request) else 401, "Bucket not found", "RepoNotFound")
    hub.writer(request, _id(hub, request).partition("/")[0])
    return found


async def create(hub: "FakeHub", request: Request) -> Response:
    id = _id(hub, request)
    hub.writer(request, id.partition("/")[0])
    told = {"url": f"{hub.url}/buckets/{id}", "id": id}
    if id in hub.jobs.buckets:
        return JSONResponse({**told, "error": "exists"}, 409)
    hub.jobs.buckets[id] = {}
    return JSONResponse(told)


async def describe(hub: "FakeHub", request: Request) -> Response:
    files = _bucket(hub, request)
    told = {"id": _id(hub, request), "private": True, "createdAt": moment(datetime.now(UTC))}
    return JSONResponse({**told, "size": sum(map(len, files.values())), "totalFiles": len(files)})


async def change(hub: "FakeHub", request: Request) -> Response:
    files = _bucket(hub, request)
    for line in (await request.body()).splitlines():
        asked = json.loads(line)
        if asked["type"] == "deleteFile":
            files.pop(asked["path"], None)
        else:
            files[asked["path"]] = hub.xet.get(hub.xet.by_hash(asked["xetHash"]))
    return JSONResponse({"success": True, "failed": []})


def _told(path: str, content: bytes) -> dict[str, Any]:
    written = moment(datetime.now(UTC))
    return {"type": "file", "path": path, "size": len(content), "xetHash": hash_of(content), "uploadedAt": written}


async def tree(hub: "FakeHub", request: Request) -> Response:
    files = _bucket(hub, request)
    prefix = word(request, "path") if "path" in request.path_params else ""
    return JSONResponse([_told(path, files[path]) for path in sorted(files) if path.startswith(prefix)])


async def paths_info(hub: "FakeHub", request: Request) -> Response:
    files = _bucket(hub, request)
    return JSONResponse([_told(path, files[path]) for path in (await request.json())["paths"] if path in files])


async def resolve(hub: "FakeHub", request: Request) -> Response:
    files, path = _bucket(hub, request), word(request, "path")
    if path not in files:
        raise refusal(404, "Entry not found", "EntryNotFound")
    named = {
        "X-Xet-Hash": hash_of(files[path]),
        "X-Xet-Refresh-Route": f"{hub.url}/api/buckets/{_id(hub, request)}/xet-read-token",
        "X-Linked-Size": str(len(files[path])),
    }
    return Response(files[path], headers=named)


_BUCKET = "/api/buckets/{ns}/{name}"
ROUTES = [
    ("GET", f"{_BUCKET}/xet-{{access}}-token", bucket_token),
    ("GET", "/api/{kind}/{ns}/{name}/xet-{access}-token/{rev}", repository_token),
    ("POST", _BUCKET, create),
    ("GET", _BUCKET, describe),
    ("POST", f"{_BUCKET}/batch", change),
    ("GET", f"{_BUCKET}/tree", tree),
    ("GET", f"{_BUCKET}/tree/{{path:path}}", tree),
    ("POST", f"{_BUCKET}/paths-info", paths_info),
    ("GET HEAD", "/buckets/{ns}/{name}/resolve/{path:path}", resolve),
]
