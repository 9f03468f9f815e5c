"""Compare the weights that were pushed to the Hub with the delivered files that the numbers are of.

from_hub.py computes the numbers again from the files on the Hub.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ml_intern.evidence.checks.files import UPLOADS, WEIGHTS
from ml_intern.evidence.observations import Observations
from ml_intern.evidence.statement.build import delivered_artifacts
from ml_intern.evidence.verdict import AnswerVerdict, Claim
from ml_intern.execution.call import ToolError
from ml_intern.net.hub import call_hub
from ml_intern.text.digests import content_digest

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_MAX_FILES = 100
_REQUEST: Final = re.compile(r"pull request (\d+)")
_REPOSITORY: Final = re.compile(r"(?<![\w./-])[\w-][\w.-]*/[\w-]+(?:\.[\w-]+)*(?![\w/-])")


@dataclass(frozen=True)
class PushedFile:
    """A file that this thread put into a repository. `revision` is "" for main."""

    repo: str
    revision: str
    name: str
    local: Path
    by_command: bool = False
    """A command uploaded it, so that its name on the Hub is a guess."""


async def with_pushed_files(answer: str, seen: Observations, verdict: AnswerVerdict) -> AnswerVerdict:
    """Return the verdict with a claim for each pushed file of weights that the answer reports, or why there is none."""
    claims: list[Claim] = []
    pushed = pushed_files(answer, seen, verdict)
    problems = [
        f"{name} pushed to {repo} a model that is in no delivered file, so it was compared with nothing"
        for repo, name in _repositories_of_commands(answer, seen)
        if repo not in pushed
    ]
    for repo, files in pushed.items():
        try:
            found = await call_hub(partial(_on_hub, files), f"model {repo}")
        except ToolError as error:
            problems.append(f"the files in {repo} were not compared: {error}")
            continue
        for one in files:
            if one.by_command and one.name not in found:
                problems.append(f"{one.local.name} was not compared with {repo}, which has no {one.name}")
            else:
                claims.append(await asyncio.to_thread(_compared, one, found.get(one.name, {})))
    return replace(verdict, claims=(*verdict.claims, *claims), incomplete=(*verdict.incomplete, *problems))


def pushed_files(answer: str, seen: Observations, verdict: AnswerVerdict) -> dict[str, list[PushedFile]]:
    """Return the existing weights of the uploads that the answer reports, the last upload of each file."""
    reported = any(one.name == "upload" and one.state == "held" for one in verdict.claims)
    files = {(one.repo, one.revision, one.name): one for one in _pushed(seen) if reported or one.repo in answer}
    known = {one.repo for one in files.values()}
    by_commands = [one for one in _pushed_by_commands(answer, seen) if one.repo not in known]
    files |= {(one.repo, "", one.name): one for one in by_commands}
    found: dict[str, list[PushedFile]] = {}
    for one in list(files.values())[:_MAX_FILES]:
        found.setdefault(one.repo, []).append(one)
    return found


def _pushed(seen: Observations) -> Iterator[PushedFile]:
    for call in seen.calls:
        if call["tool"] != "hub_repos" or not call["ok"]:
            continue
        args = json.loads(call["args"])
        local = (seen.workspace / str(args.get("local") or ".")).resolve()
        request = _REQUEST.search(str(call.get("text", ""))) if args.get("create_pr") else None
        if args.get("operation") != "upload" or args.get("type", "model") != "model":
            continue
        revision = f"refs/pr/{request[1]}" if request else str(args.get("revision") or "")
        within = str(args.get("path") or "").strip("/")
        paths = [local] if local.is_file() else sorted(local.rglob("*"))
        for path in (one for one in paths if one.suffix in WEIGHTS and one.is_file()):
            inner = path.name if path == local else str(path.relative_to(local))
            whole = within if path == local and Path(within).suffix else "/".join(filter(None, (within, inner)))
            yield PushedFile(str(args["repo"]), revision, whole, path)


def _pushed_by_commands(answer: str, seen: Observations) -> Iterator[PushedFile]:
    """Yield the delivered weights for each repository that the answer and the code of an uploading program name."""
    for repo, _ in _repositories_of_commands(answer, seen):
        for path in delivered_artifacts(answer, seen):
            yield PushedFile(repo, "", path.name, path, by_command=True)


def _repositories_of_commands(answer: str, seen: Observations) -> list[tuple[str, str]]:
    """Return the repositories that the answer and the code of an upload name, each with the run of that code."""
    found: dict[str, str] = {}
    for run in seen.programs:
        code = "\n".join([run.command, *(text for _, text in seen.sources(run))])
        if run.state == "done" and UPLOADS.search(code):
            found |= {name: run.name for name in _REPOSITORY.findall(answer) if name in code}
    return list(found.items())


def _on_hub(files: Sequence[PushedFile], api: "HfApi") -> Mapping[str, Mapping[str, Any]]:
    """Return the digests of files at their revision on the Hub."""
    found: dict[str, Mapping[str, Any]] = {}
    for revision in {one.revision for one in files}:
        names = [one.name for one in files if one.revision == revision]
        for info in api.get_paths_info(files[0].repo, names, revision=revision or None):
            large = getattr(info, "lfs", None)
            found[info.path] = {"sha256": large.sha256 if large else "", "blob": getattr(info, "blob_id", "")}
    return found


def _compared(one: PushedFile, on_hub: Mapping[str, Any]) -> Claim:
    text = f"{one.name} in {one.repo}"
    if not on_hub:
        return Claim(text, "contradicted", f"{one.repo} has no {one.name}", "pushed file")
    digest = content_digest(one.local)
    if on_hub["sha256"] == digest or on_hub["blob"] == _blob(one.local):
        evidence = f"the revision on the Hub has the delivered file, sha256 {digest[:12]}"
        return Claim(text, "held", evidence, "pushed file", source="the Hub")
    other = f"{one.repo} has another {one.name} than the delivered one"
    return Claim(text, "unsupported" if one.by_command else "contradicted", other, "pushed file")


def _blob(path: Path) -> str:
    """Return the git object id of a file, by which the Hub names small files."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
