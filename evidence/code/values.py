"""Abstract values of a script: the rows they come from, what was fitted on those rows, and what was computed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Final, Literal

from ml_intern.text.word_table import words

SELECTORS: Final = words(
    "SelectKBest SelectPercentile SelectFpr SelectFdr SelectFwe GenericUnivariateSelect RFE RFECV SelectFromModel "
    "SequentialFeatureSelector TargetEncoder PLSRegression BorutaPy WOEEncoder CatBoostEncoder LeaveOneOutEncoder "
    "JamesSteinEncoder MEstimateEncoder"
)
"""Classes whose fit uses the targets and whose result is used as features."""
PARALLEL: Final = words("ColumnTransformer FeatureUnion make_column_transformer make_union")
"""Transformers whose members work side by side."""
Role = Literal["", "train", "valid", "test"]


class _Unset:
    """The constant of a value that is known only at run time."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()


@dataclass(frozen=True)
class RowSet:
    """Rows of one source: the source, and the splits that lead to the rows."""

    root: str
    path: tuple[str, ...] = ()
    role: Role = field(default="", compare=False)

    def child(self, step: str, role: Role) -> "RowSet":
        """Return the rows that one more split selects."""
        return self if step in self.path else RowSet(self.root, (*self.path, step), role)

    def holds(self, other: "RowSet") -> bool:
        """Return whether all rows of `other` are among these rows."""
        return self.root == other.root and self.path == other.path[: len(self.path)]


@dataclass(frozen=True)
class Fit:
    """One fit: where, on which rows, and of what."""

    line: int
    parts: frozenset[RowSet]
    name: str
    kind: Literal["model", "transform", "select", "statistic", "join"]


@dataclass(frozen=True)
class Step:
    """A selection of rows by an index: the split that made it and the role of the selected rows."""

    name: str
    role: Role


@dataclass(frozen=True)
class Value:
    """An abstract value. An empty value is unknown."""

    parts: frozenset[RowSet] = frozenset()
    fits: frozenset[Fit] = frozenset()
    predicted: bool = False
    """It came out of a model."""
    scores: frozenset[RowSet] = frozenset()
    """The rows on which it was computed, if it is a metric."""
    errors: frozenset[RowSet] = frozenset()
    """The rows on which predictions were compared with targets, one by one."""
    columns: frozenset[str] = frozenset()
    copied: frozenset[int] = frozenset()
    """Lines that put copies of the same rows into it."""
    leaks: frozenset[tuple[int, int]] = frozenset()
    """Lines of copies, and of the split that came after them."""
    tags: frozenset[str] = frozenset()
    steps: tuple[Step, ...] = ()
    """The splits of an index."""
    constant: Any = UNSET
    items: "tuple[Value, ...] | None" = None
    element: "Value | None" = None
    thing: "Model | Table | Instance | Function | None" = None

    @property
    def text(self) -> str:
        """The value as a string, if it is a known one."""
        return self.constant if isinstance(self.constant, str) else ""

    @property
    def model(self) -> "Model | None":
        """The model that the value is."""
        return self.thing if isinstance(self.thing, Model) else None

    @property
    def is_data(self) -> bool:
        """Return whether the rows of the value are known."""
        return bool(self.parts or self.steps)

    @property
    def has_role(self) -> bool:
        """Return whether some rows have a role."""
        return any(part.role for part in self.parts)

    @property
    def is_plain(self) -> bool:
        """Return whether nothing flows through the value."""
        return not (self.is_data or self.fits or self.scores or self.errors or self.predicted or self.tags)

    def tagged(self, *names: str) -> "Value":
        """Return the value with more tags."""
        return replace(self, tags=self.tags | {*names})

    def plain(self) -> "Value":
        """Return what flows on into another value: rows, fits and scores."""
        if self.constant is UNSET and self.items is None and self.element is None and self.thing is None:
            return self
        return replace(self, constant=UNSET, items=None, element=None, thing=None)


@dataclass(eq=False)
class Model:
    """An estimator, transformer, network or trainer."""

    name: str
    line: int = 0
    fits: frozenset[Fit] = frozenset()
    settings: dict[str, Value] = field(default_factory=dict[str, Value])
    inner: "list[Value]" = field(default_factory=list[Value])
    """The estimators that it was made of."""

    @property
    def final(self) -> str:
        """The name of the class that predicts: the last step of a pipeline, the estimator of a search."""
        models = [one.model for one in self.inner if one.model]
        if self.name in SELECTORS or self.name in PARALLEL:
            return self.name
        return models[-1].final if models and models[-1] is not self else self.name

    def named(self) -> "set[str]":
        """Return the names of the classes that it consists of."""
        return {self.name}.union(*(one.model.named() for one in self.inner if one.model))


@dataclass(eq=False)
class Table:
    """A dictionary with known keys, or the splits of a dataset."""

    entries: dict[Any, Value] = field(default_factory=dict[Any, Value])
    split: str = ""
    """The call that made the splits."""


@dataclass(eq=False)
class Instance:
    """An object of a class in the file."""

    methods: dict[str, Value]
    attributes: dict[str, Value] = field(default_factory=dict[str, Value])


@dataclass(eq=False)
class Function:
    """Something that the file defines and can be called."""

    apply: Callable[[list[Value], dict[str, Value]], Value]


NOTHING: Final = Value()


def merge(values: Iterable[Value]) -> Value:
    """Return a value to which all the given values contribute."""
    return reduce(_both, values, NOTHING)


def _both(one: Value, other: Value) -> Value:
    if other is NOTHING:
        return one.plain()
    if one is NOTHING:
        return other.plain()
    return Value(
        _rows(one, other),
        one.fits | other.fits,
        one.predicted or other.predicted,
        one.scores | other.scores,
        one.errors | other.errors,
        one.columns | other.columns,
        one.copied | other.copied,
        one.leaks | other.leaks,
        _tags(one, other),
        one.steps or other.steps,
    )


def _tags(one: Value, other: Value) -> frozenset[str]:
    """Return the tags of both; a number beside a value takes none of its tags away."""
    if other.is_plain:
        return one.tags
    return other.tags if one.is_plain else (one.tags & other.tags) | ((one.tags | other.tags) & {"hard", "mask"})


def _rows(one: Value, other: Value) -> frozenset[RowSet]:
    """Return the rows of both; the result of an unknown call adds none to known rows."""
    if one.parts and other.parts:
        if "opaque" in one.tags and (other.has_role or "opaque" not in other.tags) and not one.has_role:
            return other.parts
        if "opaque" in other.tags and (one.has_role or "opaque" not in one.tags) and not other.has_role:
            return one.parts
    return one.parts | other.parts


def either(one: Value, other: Value) -> Value:
    """Return what is known if the value is one of the two: what they agree on."""
    if one == other:
        return one
    thing = one.thing or other.thing if one.thing is None or other.thing is None else None
    thing = one.thing if one.thing is other.thing else thing
    if one.parts != other.parts and one.parts and other.parts:
        return Value(thing=thing)
    both = _both(one, other)
    return replace(both, thing=thing, fits=one.fits & other.fits if one.parts and other.parts else both.fits)
