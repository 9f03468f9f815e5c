"""Calls that read data, split it, join it or copy it."""

import ast
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ml_intern.evidence.code import tables
from ml_intern.evidence.code.recorder import Recorder
from ml_intern.evidence.code.values import Fit, Model, Role, RowSet, Step, Table, Value, merge


@dataclass
class EvaluatedCall:
    """One evaluated call."""

    node: ast.Call
    name: str
    """The last part of the function's name."""
    path: str
    """The dotted name as far as it is known."""
    receiver: Value | None
    args: list[Value]
    keywords: dict[str, Value]
    recorder: Recorder
    apply: Callable[[Value, list[Value]], Value | None] = field(default=lambda _, __: None)
    """EvaluatedCall a value that is a function of the file; None if it is not one."""

    @property
    def line(self) -> int:
        """The line of the call."""
        return self.node.lineno

    @property
    def given(self) -> list[Value]:
        """All arguments."""
        return [*self.args, *self.keywords.values()]

    @property
    def everything(self) -> Value:
        """All inputs of the call, with the object it is called on."""
        return merge([*([self.receiver] if self.receiver else []), *self.given])

    def argument(self, position: int, *names: str) -> Value | None:
        """Return an argument by keyword or position."""
        for name in names:
            if name in self.keywords:
                return self.keywords[name]
        return self.args[position] if 0 <= position < len(self.args) else None

    def says(self, name: str, constant: object) -> bool:
        """Return whether a keyword has this constant value."""
        return name in self.keywords and self.keywords[name].constant == constant


def source(root: str, role: Role, path: tuple[str, ...] = ()) -> Value:
    """Return all rows of a source."""
    return Value(frozenset({RowSet(root, path, role)}))


def file_source(text: str) -> Value:
    """Return the rows of a file; its name states the role."""
    normal = posixpath.normpath(text)
    folder, name = posixpath.split(normal)
    stem = name.rpartition(".")[0] or name
    role = tables.role_of(name) if name.endswith((".train", ".test")) else tables.role_of(stem)
    return source(f"file:{normal}", role or tables.role_of(posixpath.basename(folder)))


def load_dataset(call: EvaluatedCall) -> Value:
    """Evaluate `load_dataset(...)`: one split, or all of them."""
    names = [one.text for one in call.args if one.text]
    files = call.argument(-1, "data_files")
    if files is not None and isinstance(files.thing, Table):
        entries = {key: replace(file_source(one.text), columns=frozenset()) for key, one in files.thing.entries.items()}
        table = Value(thing=Table(entries))
        split = call.argument(1, "split")
        return entries.get(split.text, table) if split else table
    root = "dataset:" + "/".join(names[:2])
    split_name = call.keywords["split"].text if "split" in call.keywords else ""
    if not split_name:
        return Value(frozenset({RowSet(root)}), thing=Table(split=root))
    name, _, rows = split_name.partition("[")
    part = RowSet(root, (f"split:{name}",), tables.role_of(name))
    return Value(frozenset({part.child(f"[{rows}", part.role) if rows else part}))


def pick_split(value: Value, key: str) -> Value:
    """Return one split of a dataset by its key."""
    role = tables.role_of(key)
    parts = frozenset(one.child(f"split:{key}", _nested(one, role)) for one in value.parts)
    return replace(value.plain(), parts=parts, leaks=_leaks(value))


def _nested(part: RowSet, role: Role) -> Role:
    """Return the role of a split: a test split of training rows is for validation."""
    if role == "test" and part.role == "train":
        return "valid"
    return role if part.role in ("", "train") or role == "test" else part.role


def _leaks(value: Value, line: int = 0) -> frozenset[tuple[int, int]]:
    return value.leaks | {(copied, line or copied) for copied in value.copied}


def split_value(value: Value, line: int, side: str, name: str = "split") -> Value:
    """Return one side of a split at this line."""
    step = f"{name}@{line}:{side}"
    role: Role = "train" if side == "train" else "test"
    parts = frozenset(one.child(step, _side_role(one, role)) for one in value.parts)
    steps = value.steps
    if not parts and ("index" in value.tags or steps):
        steps = (*steps, Step(step, role))
    return replace(value.plain(), parts=parts, steps=steps, leaks=_leaks(value, line), copied=frozenset())


def _side_role(part: RowSet, role: Role) -> Role:
    if part.role == "train":
        return "valid" if role == "test" else "train"
    if part.role == "test":
        return "test" if role == "test" else "valid"
    return role


def train_test_split(call: EvaluatedCall) -> Value:
    """Evaluate `train_test_split(a, b, ...)`, and the method of datasets."""
    if call.receiver is not None and call.receiver.parts and not call.args:
        sides = {side: split_value(call.receiver, call.line, side) for side in ("train", "test")}
        return Value(thing=Table(sides))
    name = "order" if call.says("shuffle", False) else "split"
    sides_of = [tuple(split_value(one, call.line, side, name) for side in ("train", "test")) for one in call.args]
    return Value(items=tuple(one for pair in sides_of for one in pair))


def random_split(call: EvaluatedCall) -> Value:
    """Evaluate torch's `random_split(dataset, lengths)`: two or three parts."""
    data, lengths = call.argument(0, "dataset"), call.argument(1, "lengths")
    count = len(lengths.items) if lengths is not None and lengths.items else 2
    sides = ["train", "test"] if count == 2 else ["train", *["valid"] * (count - 2), "test"]
    made: list[Value] = []
    for number, side in enumerate(sides):
        value = split_value(data, call.line, "train" if side == "train" else f"test{number}") if data else Value()
        role: Role = "train" if side == "train" else "valid" if side == "valid" else "test"
        made.append(with_role(value, role))
    return Value(items=tuple(made))


def with_role(value: Value, role: Role) -> Value:
    """Return the value with another role of its rows."""
    parts = frozenset(RowSet(one.root, one.path, role) for one in value.parts)
    steps = value.steps and (*value.steps[:-1], Step(value.steps[-1].name, role))
    return replace(value, parts=parts, steps=steps)


def fold_method(model: Model | None) -> str:
    """Return how a splitter chooses rows: at random, by groups, or in their order."""
    name = model.name if model else ""
    if "Group" in name:
        return "group"
    plain = name == "KFold" and (model is None or model.settings.get("shuffle", Value()).constant is not True)
    return "order" if plain or name == "TimeSeriesSplit" else "random"


def folds(call: EvaluatedCall) -> Value:
    """Evaluate `kf.split(X, y)`: pairs of indexes."""
    name = f"fold@{call.line}/{fold_method(call.receiver.model if call.receiver else None)}"
    pair = Value(items=(Value(steps=(Step(f"{name}:train", "train"),)), Value(steps=(Step(f"{name}:test", "test"),))))
    return Value(element=pair)


def join(call: EvaluatedCall) -> Value:
    """Evaluate a concatenation of rows; rows that come twice are copies."""
    axis = call.argument(1, "axis", "dim")
    if axis is not None and axis.constant in (1, -1, "columns"):
        return replace(call.everything, columns=frozenset())
    return join_values(_members(call), call.line)


def _members(call: EvaluatedCall) -> list[Value]:
    receiver = [call.receiver] if call.receiver is not None and call.receiver.parts else []
    members = [*receiver, *call.args]
    if len(members) == 1:
        one = members[0]
        again = 1 if "apart" in one.tags else 2
        return list(one.items) if one.items else [one.element] * again if one.element else [one]
    return [part for one in members for part in (one.items or [one])]


def join_values(members: list[Value], line: int) -> Value:
    """Return the rows of several values below each other."""
    made = merge(members)
    overlapping = any(
        one == other
        for at, first in enumerate(members)
        for next_ in members[at + 1 :]
        for one in first.parts
        for other in next_.parts
    )
    if overlapping:
        made = replace(made, copied=made.copied | {line})
    return replace(made, fits=made.fits | joined(members, line))


def joined(members: list[Value], line: int) -> frozenset[Fit]:
    """Return the fact that training and test rows are put together, if they are."""
    roles = {part.role for one in members for part in one.parts}
    if len(members) < 2 or not {"train", "test"} <= roles:
        return frozenset()
    parts = frozenset(part for one in members for part in one.parts if part.role == "test")
    return frozenset({Fit(line, parts, "a join", "join")})


def repeat(call: EvaluatedCall) -> Value:
    """Evaluate a call that puts the same rows into its result several times."""
    value = call.everything
    if call.name == "resample" and call.says("replace", False):
        return value
    if call.receiver is not None:
        return value  # of a time series or a tensor
    return replace(value, copied=value.copied | {call.line}) if value.parts else value


def sample(call: EvaluatedCall) -> Value:
    """Evaluate `df.sample(...)`: rows of a table, possibly with copies."""
    value = call.receiver or Value()
    if call.says("replace", True):
        return replace(value, copied=value.copied | {call.line})
    whole = call.says("frac", 1) or call.says("frac", 1.0)
    if whole or not value.parts:
        return value
    step = f"sample@{call.line}"
    parts = frozenset(one.child(step, "train" if one.role == "" else one.role) for one in value.parts)
    return replace(value.plain(), parts=parts, leaks=_leaks(value, call.line), steps=(Step(step, "train"),))


def drop(call: EvaluatedCall) -> Value:
    """Evaluate `df.drop(...)`: without columns, or without the rows of a sample."""
    value, dropped = call.receiver or Value(), call.argument(0, "index", "labels")
    step = dropped.steps[-1].name if dropped is not None and dropped.steps else ""
    if not step.startswith("sample@"):
        return value
    parts = frozenset(one.child(f"{step}:rest", _side_role(one, "test")) for one in value.parts)
    return replace(value.plain(), parts=parts, leaks=_leaks(value, call.line))


def prepare(call: EvaluatedCall) -> Value:
    """Evaluate `accelerator.prepare(model, loader, ...)`: it returns its arguments, wrapped."""
    several = call.receiver is not None and len(call.args) > 1
    return replace(call.everything, items=tuple(call.args)) if several else call.everything


def dataset_splits(call: EvaluatedCall) -> Value:
    """Evaluate `DatasetDict({"train": a, "test": b})`: the same splits."""
    given = call.args[0] if len(call.args) == 1 and not call.keywords else None
    return given if given is not None and isinstance(given.thing, Table) else call.everything


LOADS: Final[Mapping[str, Callable[[EvaluatedCall], Value]]] = {
    "load_dataset": load_dataset,
    "train_test_split": train_test_split,
    "random_split": random_split,
    "sample": sample,
    "drop": drop,
    **dict.fromkeys(("DatasetDict", "IterableDatasetDict"), dataset_splits),
    **dict.fromkeys(("prepare", "setup_dataloaders"), prepare),
    **dict.fromkeys(tables.JOINS, join),
    **dict.fromkeys(tables.REPEATS, repeat),
}


def read_file(call: EvaluatedCall) -> Value | None:
    """Return the rows of the file that a call names in an argument, or None."""
    mode = call.argument(1, "mode")
    if call.name == "open" and mode is not None and mode.text and not tables.READ_MODE.match(mode.text):
        return Value()
    receiver = [call.receiver] if call.receiver is not None else []
    for one in [*receiver, *call.args[:2], *call.keywords.values()]:
        if one.text and tables.is_data_file(one.text):
            return file_source(one.text)
    return None


def builtin_source(call: EvaluatedCall) -> Value | None:
    """Return the rows of a dataset that a library brings: `load_iris()`, `MNIST(train=True)`."""
    root, key = f"data:{call.name}", call.argument(-1, "subset", "split")
    if "train" in call.keywords and isinstance(call.keywords["train"].constant, bool) and call.name[:1].isupper():
        name = "train" if call.keywords["train"].constant else "test"
        return source(root, name, (f"split:{name}",))  # type: ignore[arg-type]
    if not call.name.startswith(("fetch_", "make_", "load_")) or any(one.is_data for one in call.given):
        return None
    if call.name.startswith(
        ("make_column", "make_pipe", "make_union", "make_scorer", "make_grid", "load_model", "load_state")
    ):
        return None
    if call.name.startswith("make_"):
        root = f"{root}@{call.line}"
    role = tables.role_of(key.text) if key is not None else ""
    value = source(root, role, (f"split:{key.text}",) if key is not None and role else ())
    if not call.says("return_X_y", True) and not call.name.startswith("make_"):
        return value if role else value.tagged("opaque")
    return Value(items=tuple(replace(value, columns=frozenset({f"{root}|{at}"})) for at in range(2)))
