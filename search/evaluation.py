"""Evaluate the files of an attempt: in a copy, in a fresh sandbox without network, with a command of the user."""

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Any, Final, Protocol, Self
from uuid import uuid4

from ml_intern.configs.errors import SandboxMissing
from ml_intern.evidence.locks import is_test_data
from ml_intern.evidence.reproduction.plan import Evaluation, NotPossible
from ml_intern.evidence.reproduction.run import Scratch, refuse_without_sandbox, run_prepared
from ml_intern.execution.sandboxed import open_offline
from ml_intern.graph.context import RunOptions
from ml_intern.search.files.copies import copy_folder
from ml_intern.search.plan import SEED, SearchPlan
from ml_intern.search.readings import NoMetric, Reading, read_metric
from ml_intern.search.scores import score_of
from ml_intern.search.tree import Score

_DATA_WORD: Final = re.compile(r"[^\s'\"]+")


class EvaluationFailed(Exception):
    """An evaluation gave no valid value. The message is the reason."""


@dataclass(frozen=True)
class EvaluationCopy:
    """A copy of the files of an attempt."""

    top: Path
    workspace: Path


class EvaluationMachines(Protocol):
    """Other machines that evaluate."""

    async def output(self, copy: EvaluationCopy, command: str, places: Sequence[str]) -> str:
        """Run a command in a copy there, and return its output. Links of the copy into `places` are followed.

        A failure of a machine is waited out. Raises EvaluationFailed.
        """
        ...


@dataclass(frozen=True)
class MeasuredScore:
    """A score and what was measured besides."""

    score: Score
    rows: int
    seconds: float
    """How long one evaluation took."""


@dataclass(frozen=True)
class SearchEvaluator:
    """Evaluates the attempts of one search. `options` are those of its sandbox."""

    plan: SearchPlan
    options: RunOptions
    home: Path
    """The folder for copies and for the metrics of each row."""
    machines: EvaluationMachines | None = None
    """Evaluate there. The hold-out stays on this machine."""

    def check(self) -> None:
        """Raise SandboxMissing if there is no sandbox for evaluations."""
        try:
            refuse_without_sandbox(self.options)
        except NotPossible as error:
            problem = "improve needs the sandbox, since an attempt's code must not reach the evaluator or the hold-out"
            raise SandboxMissing(problem, "install bubblewrap, and use --sandbox and --tool-runtime local") from error

    def showing(self, places: tuple[str, ...]) -> Self:
        """Return an evaluator whose commands can also read these places."""
        return replace(self, options=replace(self.options, shown=places))

    async def measure(self, top: Path, workspace: Path, seeds: Sequence[int], command: str = "") -> MeasuredScore:
        """Evaluate the files of an attempt once for each seed. Raises EvaluationFailed, DiskFull."""
        command = command or self.plan.evaluator
        began, readings = time.monotonic(), list[Reading]()
        for seed in seeds:
            readings.append(await self._read(top, workspace, command.replace(SEED, str(seed))))
        seconds = (time.monotonic() - began) / len(seeds)
        rows = readings[0].rows
        digest = self._save_rows(_rows_of(readings))
        return MeasuredScore(score_of([one.value for one in readings], seeds, rows, digest), rows, seconds)

    async def _read(self, top: Path, workspace: Path, command: str) -> Reading:
        async with self._copied(top, workspace) as copy:
            output = await self._output(copy, top, command)
        try:
            return read_metric(output, self.plan.objective.metric)
        except NoMetric as error:
            raise EvaluationFailed(str(error)) from error

    @asynccontextmanager
    async def _copied(self, top: Path, workspace: Path) -> AsyncIterator[EvaluationCopy]:
        """Copy the files of an attempt for one evaluation, so that nothing of it is left."""
        copy = self.home / "copies" / uuid4().hex[:12]
        try:
            await asyncio.to_thread(copy_folder, top, copy)
            yield EvaluationCopy(copy, copy / workspace.relative_to(top))
        finally:
            await asyncio.to_thread(shutil.rmtree, copy, ignore_errors=True)

    async def _output(self, copy: EvaluationCopy, top: Path, command: str) -> str:
        named = tuple(path for path in self.options.hidden if path in command)
        if self.machines is not None and not named:
            return await self.machines.output(copy, command, (*self.options.shown, str(top)))
        hidden = tuple(path for path in self.options.hidden if path not in named)
        shown = (*self.options.shown, str(top), *named)
        options = replace(self.options, workspace=str(copy.top), hidden=hidden, shown=shown)
        evaluation = Evaluation("the evaluator", ("bash", "-c", command), copy.workspace, ())
        scratch = Scratch(self.home / f"output-{uuid4().hex[:12]}", uuid4().hex)
        async with open_offline(evaluation.argv, copy.workspace, options) as prepared:
            found = await run_prepared(evaluation, prepared, scratch, self.plan.attempt_seconds)
        if found.problem:
            raise EvaluationFailed(found.problem)
        return found.output

    def holdout_command(self) -> str:
        """Return the evaluator with the hold-out in place of its test data; "" if it names none."""
        return with_data(self.plan.evaluator, self.plan.holdout)

    def _save_rows(self, rows: Sequence[Any]) -> str:
        """Save the rows, and return their digest; "" without rows."""
        if not rows:
            return ""
        text = dumps(rows)
        digest = sha256(text.encode()).hexdigest()
        folder = self.home / "rows"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{digest}.json").write_text(text, encoding="utf-8")
        return digest


def _rows_of(readings: Sequence[Reading]) -> Sequence[Any]:
    """Return the predictions if all readings have the same ones, else the mean metric of each row, if printed."""
    if any(one.predictions for one in readings):
        return readings[0].predictions if len({one.predictions for one in readings}) == 1 else ()
    rows = [one.each_row for one in readings]
    if not all(rows) or len({len(one) for one in rows}) != 1:
        return ()
    return [sum(column) / len(column) for column in zip(*rows, strict=True)]


def with_data(command: str, data: str) -> str:
    """Return a command with other test data in place of its own; "" if it names none."""
    words = [word for word in _DATA_WORD.findall(command) if is_test_data(word)]
    return command.replace(words[0], f"'{data}'" if "'" not in data else data, 1) if words else ""
