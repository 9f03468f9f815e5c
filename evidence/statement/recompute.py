"""Compute the numbers of a statement again on this machine, in a fresh read-only sandbox without network."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ml_intern.configs.errors import ConfigurationError
from ml_intern.evidence.numbers.agreement import Measurements, agrees
from ml_intern.evidence.numbers.measured import Measured, measured_in
from ml_intern.evidence.numbers.stated import stated_in
from ml_intern.evidence.reproduction.plan import REFERENCE, Evaluation
from ml_intern.evidence.reproduction.run import MAX_SECONDS, Scratch, run_evaluation
from ml_intern.evidence.statement.check import CheckedItem, ItemState, StatementCheck, find_file
from ml_intern.graph.context import RunOptions
from ml_intern.sandbox.bubblewrap import sandbox_problem

_MARK: Final = "evidence-check"


async def recomputed(check: StatementCheck) -> list[CheckedItem]:
    """Return one item for each number that the statement says was computed again."""
    claims = [one for one in check.verdict.get("claims", ()) if one.get("state") == "reproduced"]
    how = check.verdict.get("evaluation")
    if not claims or not isinstance(how, dict):
        return []
    try:
        evaluation = await asyncio.to_thread(_evaluation, how, check)
        output = await _output(evaluation, Path(check.root))
    except (LookupError, OSError, ConfigurationError) as reason:
        why = reason.message if isinstance(reason, ConfigurationError) else str(reason.args[-1])
        return [CheckedItem(str(one["text"]), "number", "not checked", why) for one in claims]
    found = [one for one in measured_in(output, evaluation.name) if one.metric]
    return [_compared(one, found, evaluation.name) for one in claims]


def _evaluation(how: Mapping[str, Any], check: StatementCheck) -> Evaluation:
    """Return the evaluation with the files here. Raises LookupError with the reason why it cannot run."""
    if problem := sandbox_problem():
        raise LookupError(f"it needs the sandbox: {problem[0]}")
    root, states = Path(check.root), {one.name: one.state for one in check.items}
    for name in how["files"]:
        if states.get(name) != "agrees":
            raise LookupError(f"{name} {'differs' if states.get(name) == 'changed' else 'is not here'}")
    files = {name: find_file(name, root, Path(check.file), states) for name in how["files"]}
    paths = tuple(path for path in files.values() if path is not None)
    if how["reference"]:
        argv = ("python3", "-c", REFERENCE.read_text(encoding="utf-8"), *map(str, paths))
        return Evaluation(str(how["by"]), argv, root, paths, reference=True)
    if displaced := next((name for name in files if not (root / name).is_file()), ""):
        raise LookupError(f"{displaced} is not at its place below {root}")
    words = [str(word) for word in how["argv"]]
    return Evaluation(str(how["by"]), (_program(words[0], root), *words[1:]), root / str(how["folder"]), paths)


def _program(word: str, root: Path) -> str:
    """Return the program here: the one below the root, else the one that the shell finds. Python is `python3`."""
    if not Path(word).is_absolute() and (root / word).is_file():
        return word
    name = Path(word).name
    return "python3" if name.startswith("python") else name


async def _output(evaluation: Evaluation, root: Path) -> str:
    options = RunOptions(model="", workspace=str(root.resolve()), sandbox="off")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Scratch(Path(folder, "output"), _MARK)
        found = await run_evaluation(evaluation, options, scratch, MAX_SECONDS)
    if found.problem:
        raise LookupError(found.problem)
    return found.output


def _compared(claim: Mapping[str, Any], found: Sequence[Measured], name: str) -> CheckedItem:
    text = str(claim["text"])
    stated = next((one for one in stated_in(text) if one.metric), None)
    support = agrees(stated, Measurements.of_numbers(found, ""), [stated]).support if stated else None
    if support is not None:
        return CheckedItem(text, "number", "agrees", f"{name} gives {support.label} {support.token}")
    same = next((one for one in found if stated and one.metric == stated.metric), None)
    state: ItemState = "changed" if same else "not checked"
    gives = f"{same.label} {same.token}" if same else "no such metric"
    return CheckedItem(text, "number", state, f"{name} gives {gives}")
