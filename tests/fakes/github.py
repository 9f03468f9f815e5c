"""GitHub's API on loopback: repositories with files, both searches, the limits and errors of the real one."""

import base64
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.loopback import Loopback

TOKEN = "ghp_fakeTokenOfTheLoopbackGitHub0001"
_INLINE_BYTES = 1_000_000


class GitHub(Loopback):
    """The API. `files` is repository -> path -> content; `status` answers everything with an error."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.stars: dict[str, int] = {}
        self.status = 0
        super().__init__(
            [
                Route("/search/code", self._checked(self._search_code)),
                Route("/search/repositories", self._checked(self._search_repositories)),
                Route("/repos/{owner}/{name}/git/trees/{sha}", self._checked(self._tree)),
                Route("/repos/{owner}/{name}/git/blobs/{sha}", self._checked(self._blob)),
                Route("/repos/{owner}/{name}/contents", self._checked(self._contents)),
                Route("/repos/{owner}/{name}/contents/{path:path}", self._checked(self._contents)),
            ]
        )

    def clear(self) -> None:
        """Nothing in it, nothing wrong with it."""
        self.files.clear()
        self.stars.clear()
        self.seen.clear()
        self.status, self.elsewhere = 0, ""

    def _checked(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            given = request.headers.get("authorization", "")
            if given and given not in (f"token {TOKEN}", f"Bearer {TOKEN}"):
                return _error(401, "Bad credentials")
            if self.status in (403, 429):
                reset = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 1_800)}
                return JSONResponse({"message": "API rate limit exceeded for 1.2.3.4"}, self.status, reset)
            return _error(self.status, "it broke") if self.status else await answer(request)

        return checked

    def _repository(self, request: Request) -> dict[str, bytes] | None:
        return self.files.get(f"{request.path_params['owner']}/{request.path_params['name']}")

    async def _tree(self, request: Request) -> Response:
        files = self._repository(request)
        if files is None:
            return _error(404, "Not Found")
        if not files:
            return _error(409, "Git Repository is empty.")
        entries = [{"path": path, "type": "blob", "mode": "100644", "sha": _sha(raw)} for path, raw in files.items()]
        return JSONResponse({"sha": "1" * 40, "tree": entries, "truncated": len(entries) > 50})

    async def _blob(self, request: Request) -> Response:
        files = self._repository(request) or {}
        raw = next((raw for raw in files.values() if _sha(raw) == request.path_params["sha"]), b"")
        return JSONResponse({"sha": _sha(raw), "encoding": "base64", "content": base64.b64encode(raw).decode()})

    async def _contents(self, request: Request) -> Response:
        files, path = self._repository(request), request.path_params.get("path", "")
        if files is None or request.query_params.get("ref") == "no-such-ref":
            return _error(404, "Not Found")
        if path in files:
            return JSONResponse(self._entry(request, path, files[path], whole=True))
        inside = {one: raw for one, raw in files.items() if one.startswith(f"{path}/" if path else "")}
        if not inside:
            return _error(404, "Not Found")
        names = dict.fromkeys(one.removeprefix(path).strip("/").partition("/")[0] for one in inside)
        listed = [self._listed(request, f"{path}/{name}".strip("/"), files) for name in names]
        return JSONResponse(listed)

    def _listed(self, request: Request, path: str, files: dict[str, bytes]) -> dict[str, Any]:
        if path in files:
            return self._entry(request, path, files[path], whole=False)
        return {"name": path.rpartition("/")[2], "path": path, "type": "dir", "size": 0, "sha": "2" * 40}

    def _entry(self, request: Request, path: str, raw: bytes, *, whole: bool) -> dict[str, Any]:
        inline = whole and len(raw) <= _INLINE_BYTES
        content = {"encoding": "base64", "content": base64.b64encode(raw).decode()} if inline else {"encoding": "none"}
        about = {"name": path.rpartition("/")[2], "path": path, "type": "file", "size": len(raw), "sha": _sha(raw)}
        return {**about, "url": str(request.url), "content": "", **content}

    async def _search_code(self, request: Request) -> Response:
        if not request.headers.get("authorization"):
            return _error(401, "Requires authentication")
        words = request.query_params["q"].split()
        only = next((word[5:] for word in words if word.startswith("repo:")), "")
        found = [
            self._code_hit(name, path, raw.decode())
            for name, files in self.files.items()
            for path, raw in files.items()
            if only in ("", name) and all(word in raw.decode("utf-8", "replace") for word in words if ":" not in word)
        ]
        return JSONResponse({"total_count": len(found), "incomplete_results": False, "items": found})

    def _code_hit(self, name: str, path: str, text: str) -> dict[str, Any]:
        url = f"https://github.com/{name}/blob/main/{path}"
        about = {
            "name": path.rpartition("/")[2],
            "path": path,
            "html_url": url,
            "url": f"{self.url}/x",
            "sha": "3" * 40,
        }
        fragments = [{"fragment": text[:100], "matches": []}]
        return {**about, "repository": {"full_name": name, "id": 1}, "text_matches": fragments, "score": 1.0}

    async def _search_repositories(self, request: Request) -> Response:
        words = request.query_params["q"].split()
        owner = next((word[5:] for word in words if word.startswith("user:")), "")
        names = [
            name
            for name in self.files
            if (not owner or name.startswith(f"{owner}/")) and all(word in name for word in words if ":" not in word)
        ]
        if request.query_params.get("sort") == "stars":
            names.sort(key=lambda name: -self.stars.get(name, 0))
        found = [
            {
                "full_name": name, "stargazers_count": self.stars.get(name, 0), "language": "Python", "archived": False,
                "description": f"About {name}", "pushed_at": "2026-01-02T03:04:05Z", "url": f"{self.url}/repos/{name}",
            }
            for name in names
        ]  # fmt: skip
        return JSONResponse({"total_count": len(found), "incomplete_results": False, "items": found})


def notebook(*cells: dict[str, Any]) -> bytes:
    """A notebook file of these cells."""
    return json.dumps({"nbformat": 4, "metadata": {"language_info": {"name": "python"}}, "cells": list(cells)}).encode()


def _sha(raw: bytes) -> str:
    return hashlib.sha1(raw, usedforsecurity=False).hexdigest()


def _error(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)
