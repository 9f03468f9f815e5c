"""The facts that the rules find while a script is followed."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from ml_intern.evidence.code.tables import role_of
from ml_intern.evidence.code.values import Fit, Model, RowSet, Value
from ml_intern.evidence.findings import Finding

_GROUP: Final = re.compile(r"mask@\w[\w.\[\]'\"]* == [A-Za-z_]\w*$")
_SLICE: Final = re.compile(r"rows@(\d*):(\d+)$")
_STEP: Final = re.compile(r"(?:fold@(\d+)/(\w+)|(split|order|sample)@(\d+))")


@dataclass(frozen=True)
class Metric:
    """A metric that the script computes: its name, the roles of its rows, and the line."""

    name: str
    roles: frozenset[str]
    line: int
    on_fitted_rows: bool = False
    """It was computed on the very rows that the model was fitted on."""


@dataclass(frozen=True)
class FirstRows:
    """A metric on a constant number of rows of a file with test data, and its line."""

    file: str
    count: int
    line: int


@dataclass(frozen=True)
class SplitFact:
    """A file that the script splits: the line, and how rows are chosen."""

    file: str
    line: int
    method: Literal["random", "group", "order"]


@dataclass
class Recorder:
    """Collects each fact once."""

    path: str
    findings: dict[tuple[str, int], Finding] = field(default_factory=dict[tuple[str, int], Finding])
    metrics: dict[int, Metric] = field(default_factory=dict[int, Metric])
    test_tries: dict[tuple[int, ...], int] = field(default_factory=dict[tuple[int, ...], int])
    loops: list[int] = field(default_factory=list[int])
    """The known numbers of passes of the loops around the current statement."""
    stack: list[int] = field(default_factory=list[int])
    """The lines of the calls around the current statement."""
    models: dict[str, int] = field(default_factory=dict[str, int])
    """The classes of models that are fitted or evaluated, with their lines."""

    rescaled: dict[int, Finding] = field(default_factory=dict[int, Finding])
    """Errors in another unit than that of the targets. They matter if the answer does not say so."""
    selected: dict[int, Finding] = field(default_factory=dict[int, Finding])
    """Metrics on test rows that predictions select. They matter if the answer does not say so."""
    first_rows: dict[int, FirstRows] = field(default_factory=dict[int, FirstRows])
    """Metrics on a part of the test rows. They matter if the file has more and the answer does not say so."""
    saved: list[tuple[Model, int]] = field(default_factory=list[tuple[Model, int]])
    """The models that are saved, with the lines."""
    evaluated_models: list[Model] = field(default_factory=list[Model])
    """The models that predict test rows."""
    splits: set[SplitFact] = field(default_factory=set[SplitFact])
    fitted_files: set[str] = field(default_factory=set[str])
    evaluated_files: set[str] = field(default_factory=set[str])
    extremes: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    """The expressions whose maximum or minimum is a choice, with the lines of `max` and `min`."""
    features: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """The files whose columns a model is fitted on, with the selection of columns as the script writes it."""

    def add(
        self, rule: str, line: int, message: str, *, level: Literal["warning", "contradiction"] = "warning"
    ) -> None:
        """Add a finding, once for each rule and line."""
        self.findings.setdefault((rule, line), Finding(rule, message, self.path, line, level))

    def drop_ranges(self) -> None:
        """Remove the choices that are a range: the minimum of the same scores is computed too."""
        for lines in self.extremes.values():
            for line in lines.values() if len(lines) > 1 else ():
                self.findings.pop(("chosen-on-test", line), None)

    @property
    def in_loop(self) -> bool:
        """Return whether the current statement can run more than once with other settings."""
        return any(number != 1 for number in self.loops)

    def note_evaluated(self, model: Model, rows: Value) -> None:
        """Record a model that predicts test rows."""
        if any(one.role == "test" for one in rows.parts) and model not in self.evaluated_models:
            self.evaluated_models.append(model)

    def evaluated(self, name: str, line: int, rows: Value, made: Value) -> None:
        """Record a metric on `rows` of predictions `made`, and check what the predictions were fitted on."""
        parts = (made.parts or rows.parts) if made.predicted else rows.parts | made.parts
        self._note_splits(parts)
        for found in filter(None, (_first_rows(part, line) for part in parts)):
            self.first_rows[line] = found
        roles = frozenset(one.role or "unknown" for one in parts)
        fitted = self.check_fits(line, parts, made.fits | rows.fits)
        self.metrics[line] = Metric(name, roles, line, fitted)
        for copied, split in sorted(made.leaks | rows.leaks):
            message = f"rows are copied at line {copied} before the split at line {split}, so copies are evaluated"
            self.add("copies-before-split", line, message, level="contradiction")
        if "test" in roles:
            tries = 1
            for number in self.loops:
                tries *= max(number, 1)
            self.test_tries.setdefault((line, *self.stack), tries)

    def fitted(self, rows: Value) -> None:
        """Record the files and columns of the rows that a model is fitted on."""
        self.fitted_files |= {part.root[5:] for part in rows.parts if part.root.startswith("file:")}
        for part in rows.parts:
            chosen = [one.partition("|")[2] for one in rows.columns if one.startswith(f"{part.root}|")]
            if part.root.startswith("file:"):
                self.features |= {(part.root[5:], one) for one in chosen or [""]}

    def cross_validated(self, rows: Value, line: int, *, grouped: bool) -> None:
        """Record the files that a cross-validation splits."""
        files = {part.root[5:] for part in rows.parts if part.root.startswith("file:")}
        self.splits |= {SplitFact(file, line, "group" if grouped else "random") for file in files}

    def _note_splits(self, parts: Iterable[RowSet]) -> None:
        for part in parts:
            if part.root.startswith("file:"):
                self.evaluated_files.add(part.root[5:])
                found = [_STEP.match(step) for step in part.path]
                self.splits |= {_split(part.root[5:], one) for one in found if one}

    def check_fits(self, line: int, parts: Iterable[RowSet], fits: Iterable[Fit]) -> bool:
        """Report fits on evaluated rows; return whether a model was fitted on exactly these rows."""
        evaluated = set(parts)
        own = False
        ordered = sorted(fits, key=lambda one: one.line)
        if any(one.kind != "join" for one in ordered):
            ordered = [one for one in ordered if one.kind != "join"]
        for fit in ordered if ordered and ordered[0].kind != "join" else ordered[:1]:
            for part in evaluated:
                if any(one == part for one in fit.parts):
                    own = own or fit.kind == "model"
                whole = any(_all_groups(one, fit).holds(part) for one in fit.parts)
                if part.role in ("test", "valid") and (whole or _fits_some(fit, part)):
                    self._fitted_on(fit, part, line)
        return own

    def _fitted_on(self, fit: Fit, part: RowSet, line: int) -> None:
        if fit.kind == "model" and part.role == "test":
            message = (
                f"{fit.name} is fitted on rows of the test split (fit at line {fit.line}, evaluated at line {line})"
            )
            self.add("test-rows-in-fit", fit.line, message, level="contradiction")
        elif fit.kind == "join" and part.role == "test":
            message = (
                f"test rows are joined to training rows at line {fit.line}, and the metric at line {line} uses both"
            )
            self.add("test-rows-in-fit", fit.line, message)
        elif fit.kind in ("transform", "select", "statistic"):
            verb = (
                "selects on"
                if fit.kind == "select"
                else "is computed on"
                if fit.kind == "statistic"
                else "is fitted on"
            )
            held = "test" if part.role == "test" else "validation"
            message = f"{fit.name} {verb} data that includes the rows of the {held} evaluation at line {line}"
            self.add("fit-before-split", fit.line, message)


def _first_rows(part: RowSet, line: int) -> FirstRows | None:
    """Return the slice with constant ends that rows of a test file were cut by, or None."""
    found = next((match for step in part.path if (match := _SLICE.match(step))), None)
    if not found or not part.root.startswith("file:") or role_of(part.root[5:]) != "test":
        return None
    return FirstRows(part.root[5:], int(found[2]) - int(found[1] or 0), line)


def _all_groups(rows: RowSet, fit: Fit) -> RowSet:
    """Return the rows of a statistic for each group, as in `y[group == k].mean()`: those of all groups together."""
    of_group = fit.kind == "statistic" and rows.path and _GROUP.match(rows.path[-1])
    return RowSet(rows.root, rows.path[:-1]) if of_group else rows


def _fits_some(fit: Fit, part: RowSet) -> bool:
    """Return whether a model is fitted on some of the evaluated test rows."""
    return fit.kind == "model" and any(part.holds(one) and one.role == part.role == "test" for one in fit.parts)


def _split(file: str, step: re.Match[str]) -> SplitFact:
    method: Literal["random", "group", "order"] = "random"
    if "order" in (step[2], step[3]):
        method = "order"
    elif step[2] == "group":
        method = "group"
    return SplitFact(file, int(step[1] or step[4]), method)
