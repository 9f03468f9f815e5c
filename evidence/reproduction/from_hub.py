"""Compute the numbers of an answer again from the revision on the Hub, whose files are downloaded."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ml_intern.configs.paths import private_folder
from ml_intern.evidence.observations import Observations
from ml_intern.evidence.reproduction.compare import compare
from ml_intern.evidence.reproduction.fitted_on import doubt_about
from ml_intern.evidence.reproduction.plan import Evaluation, NotPossible, plan_evaluation
from ml_intern.evidence.reproduction.pushed import PushedFile, pushed_files
from ml_intern.evidence.reproduction.run import evaluated
from ml_intern.evidence.verdict import AnswerVerdict, Claim
from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext
from ml_intern.net.hub import call_hub
from ml_intern.text.formatting import size

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_MAX_BYTES: Final = 5_000_000_000
_SECONDS: Final = 600.0


async def with_numbers_from_hub(
    answer: str, seen: Observations, verdict: AnswerVerdict, context: ToolContext
) -> AnswerVerdict:
    """Return the verdict with the numbers of the pushed model, if those of the delivered files were computed again."""
    if not any(claim.state == "reproduced" for claim in verdict.claims):
        return verdict
    claims: list[Claim] = []
    problems: list[str] = []
    for repo, files in pushed_files(answer, seen, verdict).items():
        try:
            evaluation = await asyncio.to_thread(plan_evaluation, answer, seen)
            if moved := await _on_downloaded(evaluation, files, context):
                output = (await evaluated(moved, seen, context)).output
                doubt = await asyncio.to_thread(doubt_about, evaluation, output, seen)
                claims += _claims(repo, verdict, compare(answer, verdict.claims, output, moved, doubt).claims)
        except (NotPossible, ToolError, OSError) as reason:
            problems.append(f"the numbers were not computed from {repo}: {reason}")
    return replace(verdict, claims=(*verdict.claims, *claims), incomplete=(*verdict.incomplete, *problems))


def _claims(repo: str, verdict: AnswerVerdict, found: Sequence[Claim]) -> list[Claim]:
    """Return one claim for each number that was computed again from the delivered files."""
    pairs = [(old, new) for old, new in zip(verdict.claims, found, strict=True) if old.state == "reproduced"]
    made = []
    for old, new in pairs:
        evidence = new.evidence.replace("for the delivered file", f"for the files in {repo}")
        evidence = evidence.replace("in a fresh sandbox", f"from the files in {repo}")
        made.append(replace(new, text=f"{old.text} of {repo}", name="pushed model", value=None, evidence=evidence))
    return made


async def _on_downloaded(
    evaluation: Evaluation, files: Sequence[PushedFile], context: ToolContext
) -> Evaluation | None:
    """Return the evaluation with the downloaded files in place of the delivered ones; None if it names none of them."""
    first = files[0]
    if not any(_below(word, evaluation, one) for word in evaluation.argv for one in files):
        return None
    folder = private_folder(context.services.artifacts(context.thread_id) / "pushed")
    load = partial(_download, first.repo, first.revision, folder)
    target = await call_hub(load, f"model {first.repo}", seconds=_SECONDS)
    argv = tuple(_moved(word, evaluation, files, target) for word in evaluation.argv)
    loaded = tuple(path for path in sorted(target.rglob("*")) if path.is_file() and ".cache" not in path.parts)
    own = {one.local for one in files}
    kept = tuple(path for path in evaluation.files if path not in own)
    return replace(evaluation, argv=argv, files=(*kept, *loaded), shown=(*evaluation.shown, str(target)))


def _below(word: str, evaluation: Evaluation, one: PushedFile) -> bool:
    """Whether a word of the command names a pushed file or a folder with it."""
    place = (evaluation.folder / word).resolve()
    return place == one.local or (place != evaluation.folder and one.local.is_relative_to(place))


def _moved(word: str, evaluation: Evaluation, files: Sequence[PushedFile], target: Path) -> str:
    """Return the place in the download of what a word names."""
    for one in files:
        if _below(word, evaluation, one):
            inner = one.local.relative_to((evaluation.folder / word).resolve())
            place = target / one.name
            return str(place if inner == Path() else place.parents[len(inner.parts) - 1])
    return word


def _download(repo: str, revision: str, folder: Path, api: "HfApi") -> Path:
    """Download a revision to a folder of its own. Raises NotPossible if it is too large."""
    info = api.model_info(repo, revision=revision or None, files_metadata=True)
    total = sum(one.size or 0 for one in info.siblings or ())
    if total > _MAX_BYTES:
        raise NotPossible(f"it has {size(total)}, and the limit is {size(_MAX_BYTES)}")
    target = folder / str(info.sha)
    api.snapshot_download(repo, revision=info.sha, local_dir=target)
    return target
