"""The server of the fake Hub: one app on two loopback addresses, faults on demand, a record of every request."""

import asyncio
import contextlib
import json
import os
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.fakes.hub.accounts import Account, Refused, need_writer, refusal, token_of
from tests.fakes.hub.storage import Blob, Repository, Storage
from tests.fakes.hub.viewer import Row, Viewer
from tests.fakes.served import Served

OWNER = "ada"
TOKEN = "hf_fakeAdaTokenOfTheLoopbackHub0001"


@dataclass(frozen=True)
class Asked:
    """A request that arrived. `host` is the name it was sent to."""

    method: str
    host: str
    path: str
    query: str
    token: str | None
    headers: Mapping[str, str] = field(repr=False)


@dataclass
class Fault:
    """What happens to the next requests whose path holds `part` instead of, or before, an answer."""

    part: str
    response: Callable[[], Response] | None
    left: int
    seconds: float
    method: str = ""

    def matches(self, method: str, path: str) -> bool:
        return self.left != 0 and self.part in path and method in (self.method or method)


class FakeHub(Served):
    """Use as a context manager. `url` is the endpoint; `cdn_url` the other host that large files come from."""

    def __init__(self, folder: Path | None = None) -> None:
        self.storage = Storage()
        self.accounts: dict[str, Account] = {TOKEN: Account(OWNER, ("lab",))}
        """By token."""
        self.asked: list[Asked] = []
        self.papers: dict[str, dict[str, Any]] = {}
        """By arXiv id, in the shape of /api/papers/{id}; `markdown` is its full text, `daily` puts it into the list."""
        self.docs: dict[str, str] = {}
        """Pages of documentation: path ("/docs/trl/sft_trainer") -> markdown."""
        self.collections: list[dict[str, Any]] = []
        self.leaderboards: dict[str, list[dict[str, Any]]] = {}
        self.logins_pending = 0
        self.router_models: list[dict[str, Any]] = []
        self.openapi: dict[str, Any] = {"openapi": "3.1.0", "info": {"title": "Hub"}, "paths": {}}
        self._faults: list[Fault] = []
        from tests.fakes.hub import jobs, xet

        self.viewer = Viewer()
        self.xet = xet.Xet()
        self.jobs = jobs.Jobs(self, folder)
        super().__init__(_Front(self, self._app()), listeners=2)

    @property
    def cdn_url(self) -> str:
        """Another host, for the same-origin rules of every client."""
        return f"http://localhost:{self.ports[1]}"

    @property
    def viewer_url(self) -> str:
        """For the setting hosts.dataset_viewer."""
        return f"{self.url}/viewer"

    def environment(self, home: Path, token: str | None = TOKEN, *, xet: bool = False) -> dict[str, str]:
        """What a process needs to take this for the Hub; `home` becomes HF_HOME. `xet`: upload as by default."""
        named = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_XET": "0" if xet else "1",
        }
        return named | ({"HF_TOKEN": token} if token else {})

    def add(
        self, kind: str, id: str, files: Mapping[str, str | bytes | Blob] | None = None, **about: Any
    ) -> Repository:
        """A repository with one commit of these files; without any it is empty and has no tree."""
        repository = self.storage.add(Repository(kind, id, **about))
        if files is not None:
            repository.commit({path: _blob(path, content) for path, content in files.items()}, "initial commit")
        return repository

    def add_dataset(
        self, id: str, splits: Mapping[str, Sequence[Row]], config: str = "default", **about: Any
    ) -> Repository:
        """A dataset the viewer shows, with its rows as JSON lines, and as parquet on the branch of the Hub's own."""
        import pyarrow
        from pyarrow import parquet

        labels = about.pop("labels", None)
        self.viewer.put(id, splits, config, labels)
        repository = self.storage.find("datasets", id) or self.add("datasets", id, {}, **about)
        for name, rows in splits.items():
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            repository.commit({f"{config}/{name}.jsonl": Blob(lines.encode())}, f"add {name}")
            file = pyarrow.BufferOutputStream()
            parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), file)
            blob = Blob(file.getvalue().to_pybytes(), lfs=True)
            repository.commit({f"{config}/{name}/0000.parquet": blob}, "convert", revision="refs/convert/parquet")
        return repository

    def repository(self, kind: str, id: str) -> Repository:
        found = self.storage.find(kind, id)
        assert found is not None, f"there is no {kind} {id}"
        return found

    def fail(self, part: str, status: int, times: int = -1, method: str = "", **headers: str) -> None:
        """Answer requests whose path holds `part` with this status; -1 is always. Underscores stand for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        said = {"error": f"the fake says {status}"}
        self._faults.append(Fault(part, lambda: JSONResponse(said, status, named), times, 0, method))

    def delay(self, part: str, seconds: float, times: int = -1) -> None:
        """Answer such requests only after some seconds."""
        self._faults.append(Fault(part, None, times, seconds))

    def redirect(self, part: str, to: str, times: int = -1) -> None:
        """Send such requests elsewhere."""
        self._faults.append(Fault(part, lambda: RedirectResponse(to, 307), times, 0))

    def clear_failures(self) -> None:
        """Answer normally again."""
        self._faults.clear()

    def tokens_at(self, host: str) -> list[Asked]:
        """The requests that brought a token to this host name."""
        return [asked for asked in self.asked if asked.token and asked.host.partition(":")[0] == host]

    def account(self, request: Request) -> Account | None:
        """Who asks; a token that is none is refused as such."""
        token = token_of(request)
        if token is None:
            return None
        if token not in self.accounts:
            raise refusal(401, "Invalid credentials in Authorization header")
        return self.accounts[token]

    def writer(self, request: Request, namespace: str) -> Account:
        """Who writes there, or a refusal."""
        return need_writer(namespace, self.account(request))

    def __exit__(self, *exception: object) -> None:
        self.jobs.close()
        self.xet.close()
        super().__exit__(*exception)

    def _app(self) -> Starlette:
        from tests.fakes.hub import (
            catalogue,
            collections,
            discussions,
            files,
            jobs_api,
            repositories,
            sandboxes,
            viewer,
            xet,
        )

        rooms = (catalogue, collections, discussions, files, jobs_api, sandboxes, viewer, xet, repositories)
        listed = [entry for room in rooms for entry in room.ROUTES]
        return Starlette(
            routes=[Route(path, self._handler(answer), methods=methods.split()) for methods, path, answer in listed]
        )

    def _handler(self, answer: Callable[["FakeHub", Request], Awaitable[Response]]) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            try:
                return await answer(self, request)
            except Refused as refused:
                return refused.response
            except Exception:
                traceback.print_exc()  # a fault of the fake itself, for whoever reads the test's output
                raise

        return handle

    async def received(self, request: Request) -> Response | None:
        """Write a request down; the answer of a fault that was asked for, if there is one."""
        headers = dict(request.headers)
        path = unquote(request.url.path)
        self.asked.append(
            Asked(request.method, headers.get("host", ""), path, request.url.query, token_of(request), headers)
        )
        fault = next((one for one in self._faults if one.matches(request.method, path)), None)
        if fault is None:
            return None
        fault.left -= 1
        await asyncio.sleep(fault.seconds)
        return fault.response() if fault.response else None


class _Front:
    """What every request passes. Routes see paths as they came: the slash of refs/pr/1 stays %2F until it is needed."""

    def __init__(self, hub: FakeHub, app: ASGIApp) -> None:
        self._hub = hub
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, "path": scope["raw_path"].decode("ascii")}
        with contextlib.suppress(ConnectionError):
            answer = await self._hub.received(Request(scope))
            await (answer or self._app)(scope, receive, send)


def _blob(path: str, content: str | bytes | Blob) -> Blob:
    if isinstance(content, Blob):
        return content
    raw = content.encode() if isinstance(content, str) else content
    from tests.fakes.hub.storage import upload_mode

    return Blob(raw, lfs=upload_mode(path, len(raw)) == "lfs")


def scrubbed_environment() -> dict[str, str]:
    """This process's environment without anything that names a Hub or holds a token."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "HUGGING")) and not name.endswith("_TOKEN")
    }
