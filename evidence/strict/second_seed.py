"""Repeat the programs that measured the numbers of an answer with another seed, in a copy of the working folder."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ml_intern.configs.paths import private_folder
from ml_intern.evidence.checks.lineage import lineage
from ml_intern.evidence.findings import Finding
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.evidence.reproduction.compare import other_value
from ml_intern.evidence.reproduction.plan import Evaluation, NotPossible
from ml_intern.evidence.reproduction.run import Scratch, refuse_without_sandbox, run_prepared
from ml_intern.evidence.verdict import AnswerVerdict, Claim
from ml_intern.execution.process.environment import bash_path
from ml_intern.execution.sandboxed import open_offline
from ml_intern.execution.tool import ToolContext
from ml_intern.text.formatting import duration

MAX_SECONDS: Final = 300.0
"""Longest time that the measured programs may have taken to be repeated."""
_MIN_SECONDS: Final = 120.0
_MAX_BYTES: Final = 2_000_000_000
_NAME: Final = r"--(?:random[-_]?)?(?:seed|state)"
_GIVEN: Final = re.compile(rf"({_NAME}[ =])(\d+)")
_TAKEN: Final = re.compile(rf"['\"]({_NAME})['\"]")
_SHELL: Final = re.compile(r"[|;&<>\n`$()]")


async def with_second_seed(
    answer: str, seen: Observations, verdict: AnswerVerdict, context: ToolContext
) -> AnswerVerdict:
    """Return the verdict with the numbers of a repetition with another seed beside its claims."""
    names = {claim.source.rpartition(" of ")[2] for claim in verdict.claims if claim.source and claim.value is not None}
    measuring = [run for run in seen.programs if run.name in names]
    if not measuring:
        return verdict
    try:
        refuse_without_sandbox(context.options)
        runs = sorted(filter(lambda run: run.ran, lineage(measuring, seen)), key=lambda run: run.began)
        seed, commands = _with_other_seed(runs, seen)
        output = await _repeated(runs, commands, seen, context)
    except (OSError, NotPossible) as reason:
        return replace(verdict, incomplete=(*verdict.incomplete, f"no second seed: {reason}"))
    return _compared(answer, verdict, output, seed)


def _with_other_seed(runs: Sequence[Execution], seen: Observations) -> tuple[int, list[str]]:
    """Return another seed, and the commands with it. Raises NotPossible if no program takes a seed."""
    if any(run.remote for run in runs):
        raise NotPossible("a program ran on another machine")
    if sum(run.seconds for run in runs) > MAX_SECONDS:
        raise NotPossible(f"the programs took more than {duration(MAX_SECONDS)}")
    given = [int(found[2]) for run in runs if (found := _GIVEN.search(run.command))]
    seed = given[0] + 1 if given else 1
    commands = [_seeded(run, seed, seen) for run in runs]
    if commands == [run.command for run in runs]:
        raise NotPossible("no program takes an option such as --seed")
    return seed, commands


def _seeded(run: Execution, seed: int, seen: Observations) -> str:
    """Return the command of an execution with this seed, or unchanged if it takes none."""
    if _GIVEN.search(run.command):
        return _GIVEN.sub(rf"\g<1>{seed}", run.command)
    taken = next((found[1] for _, code in seen.sources(run) if (found := _TAKEN.search(code))), "")
    return f"{run.command} {taken} {seed}" if taken and not _SHELL.search(run.command) else run.command


async def _repeated(
    runs: Sequence[Execution], commands: Sequence[str], seen: Observations, context: ToolContext
) -> str:
    """Run commands one after another in a copy of the working folder, and return what they print."""
    limit = max(_MIN_SECONDS, 2 * sum(run.seconds for run in runs))
    place = await asyncio.to_thread(_copied, seen.workspace, context.artifact_folder)
    options = replace(context.options, workspace=str(place / "copy"))
    outputs = []
    try:
        for run, command in zip(runs, commands, strict=True):
            folder = place / "copy" / run.folder.relative_to(seen.workspace)
            evaluation = Evaluation(run.name, (bash_path(), "-c", command), folder, ())
            async with open_offline(evaluation.argv, folder, options) as prepared:
                scratch = Scratch(place / "output.txt", context.mark)
                found = await run_prepared(evaluation, prepared, scratch, limit)
            if found.problem:
                raise NotPossible(found.problem)
            outputs.append(found.output)
    finally:
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
    return "\n".join(outputs)


def _copied(workspace: Path, artifacts: Path) -> Path:
    """Copy a working folder, and return the folder with the copy. An environment in it is linked, not copied."""
    total = 0
    for path in workspace.rglob("*"):
        if ".venv" not in path.parts and path.is_file():
            total += path.stat().st_size
        if total > _MAX_BYTES:
            raise NotPossible("the working folder is too large to copy")
    private_folder(artifacts)
    place = Path(tempfile.mkdtemp(dir=artifacts))
    shutil.copytree(
        workspace, place / "copy", symlinks=True, ignore=shutil.ignore_patterns(".git", ".venv", "__pycache__")
    )
    if (workspace / ".venv").is_dir():
        (place / "copy" / ".venv").symlink_to(workspace / ".venv")
    return place


def _compared(answer: str, verdict: AnswerVerdict, output: str, seed: int) -> AnswerVerdict:
    claims, found = list[Claim](), list[Finding]()
    for claim in verdict.claims:
        other = other_value(answer, claim, output)
        claims.append(replace(claim, evidence=f"{claim.evidence}; {other.text} with seed {seed}") if other else claim)
        if other and not other.within:
            message = f"{claim.text!r}: {other.text} with seed {seed}, outside {other.interval}"
            found.append(Finding("second seed", message))
    return replace(verdict, claims=tuple(claims), findings=(*verdict.findings, *found))
