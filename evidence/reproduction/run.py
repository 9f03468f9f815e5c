"""Run an evaluation in a fresh read-only sandbox without network, and save its result by the digests of its files."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from ml_intern.configs.paths import private_folder
from ml_intern.evidence.observations import Observations
from ml_intern.evidence.reproduction.compare import compare
from ml_intern.evidence.reproduction.fitted_on import doubt_about
from ml_intern.evidence.reproduction.plan import Evaluation, NotPossible, plan_evaluation
from ml_intern.evidence.statement.build import name_of
from ml_intern.evidence.verdict import AnswerVerdict
from ml_intern.execution.process.command import ProcessCommand, run_command
from ml_intern.execution.sandboxed import SandboxedCommand, open_read_only
from ml_intern.execution.tool import ToolContext
from ml_intern.graph.context import RunOptions
from ml_intern.text.digests import content_digest
from ml_intern.text.formatting import duration

SHARE: Final = 0.1
"""The part of the time of the thread's programs that an evaluation may take."""
MIN_SECONDS: Final = 120.0
MAX_SECONDS: Final = 480.0
_OUTPUT: Final = 4_000_000
_MAX_TEXT: Final = 100_000


@dataclass(frozen=True)
class Evaluated:
    """The output of an evaluation. `problem` says why it has no result, or is ""."""

    output: str
    exit_code: int | None
    problem: str = ""


async def reproduced(answer: str, seen: Observations, verdict: AnswerVerdict, context: ToolContext) -> AnswerVerdict:
    """Return the verdict with the claims that an evaluation of the delivered artifact gives, or the reason for none."""
    if not any(claim.value is not None for claim in verdict.claims):
        return verdict
    try:
        evaluation = await asyncio.to_thread(plan_evaluation, answer, seen)
        output = (await evaluated(evaluation, seen, context)).output
    except NotPossible as reason:
        return replace(verdict, incomplete=(*verdict.incomplete, f"not reproduced: {reason}"))
    doubt = await asyncio.to_thread(doubt_about, evaluation, output, seen)
    found = compare(answer, verdict.claims, output, evaluation, doubt)
    return replace(
        verdict,
        claims=tuple(found.claims),
        findings=(*verdict.findings, *found.findings),
        incomplete=(*verdict.incomplete, *found.incomplete),
        evaluation=_described(evaluation, seen),
    )


def _described(evaluation: Evaluation, seen: Observations) -> dict[str, Any]:
    """Return the evaluation as JSON, with names relative to the workspace."""
    words = [] if evaluation.reference else [seen.short(word) for word in evaluation.argv]
    return {
        "by": evaluation.name,
        "argv": words,
        "folder": "." if evaluation.folder == seen.workspace else seen.short(evaluation.folder),
        "files": [name_of(path, seen) for path in evaluation.files],
        "reference": evaluation.reference,
    }


async def evaluated(evaluation: Evaluation, seen: Observations, context: ToolContext) -> Evaluated:
    """Run an evaluation, or return its saved result. Raises NotPossible if it has none."""
    refuse_without_sandbox(context.options)
    key = await asyncio.to_thread(_key, evaluation)
    place = context.services.artifacts(context.thread_id) / "reproductions" / f"{key}.json"
    found = await asyncio.to_thread(_saved, place)
    if found is None:
        seconds = min(MAX_SECONDS, max(MIN_SECONDS, SHARE * sum(run.seconds for run in seen.programs)))
        scratch = Scratch(context.artifact_path(), context.mark)
        found = await run_evaluation(evaluation, context.options, scratch, seconds)
        await asyncio.to_thread(_save, place, found)
    if found.problem:
        raise NotPossible(found.problem)
    return found


def _saved(place: Path) -> Evaluated | None:
    try:
        return Evaluated(**json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # it is not there, or it was not written completely
        return None


def _save(place: Path, found: Evaluated) -> None:
    private_folder(place.parent)
    place.write_text(json.dumps(asdict(found)), encoding="utf-8")


def refuse_without_sandbox(options: RunOptions) -> None:
    """Raise NotPossible unless commands run in bubblewrap's sandbox: loading a model can run any code."""
    if options.sandbox == "none" or options.sandbox_kind != "bubblewrap" or options.tool_runtime != "local":
        raise NotPossible("needs the sandbox (bubblewrap), because loading a model can run code")


@dataclass(frozen=True)
class Scratch:
    """The file for the output of an evaluation, and the mark of its processes."""

    output: Path
    mark: str


async def run_evaluation(evaluation: Evaluation, options: RunOptions, scratch: Scratch, seconds: float) -> Evaluated:
    """Run an evaluation. It sees the files read-only, and nothing of it is left."""
    async with open_read_only(evaluation.argv, evaluation.folder, options, evaluation.shown) as prepared:
        found = await run_prepared(evaluation, prepared, scratch, seconds)
    return replace(found, output=_ends(found.output))


async def run_prepared(
    evaluation: Evaluation, prepared: SandboxedCommand, scratch: Scratch, seconds: float
) -> Evaluated:
    """Run a command that is prepared for a sandbox, and return what it printed."""
    command = ProcessCommand(
        argv=prepared.argv, folder=evaluation.folder, environment=prepared.environment, output=scratch.output,
        mark=scratch.mark, timeout=seconds, output_bytes=_OUTPUT, wrapped=prepared.wrapped,
    )  # fmt: skip
    try:
        finished = await run_command(command, lambda _: None)
        output = await asyncio.to_thread(_read, scratch.output)
    except OSError as error:
        return Evaluated("", None, f"{evaluation.name} could not run: {error.strerror or error}")
    finally:
        scratch.output.unlink(missing_ok=True)
    if finished.ending == "output cap":
        return Evaluated(output, None, f"{evaluation.name} printed more than {_OUTPUT // 1_000_000} MB")
    if finished.ending != "exited":
        return Evaluated(output, None, f"{evaluation.name} did not end within {duration(seconds)}")
    problem = "" if finished.exit_code == 0 else _why(evaluation, output, finished.exit_code)
    return Evaluated(output, finished.exit_code, problem)


def _why(evaluation: Evaluation, output: str, code: int | None) -> str:
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "")[:200]
    if last.startswith("not possible: "):
        return last.removeprefix("not possible: ")
    return f"{evaluation.name} failed in the sandbox with exit code {code}" + (f": {last}" if last else "")


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_OUTPUT).decode(errors="replace")


def _ends(text: str) -> str:
    """Return a text; of a long one the beginning and the end."""
    half = _MAX_TEXT // 2
    return text if len(text) <= _MAX_TEXT else f"{text[:half]}\n{text[-half:]}"


def _key(evaluation: Evaluation) -> str:
    """Return a digest of the command and of the files that it depends on."""
    files: Mapping[str, Any] = {str(path): _digest(path) for path in evaluation.files}
    text = json.dumps([evaluation.argv, str(evaluation.folder), files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(path: Path) -> str:
    try:
        return content_digest(path)
    except OSError as error:
        raise NotPossible(f"{path.name} cannot be read: {error.strerror}") from error
