"""The checks of data: `check_splits` for two files, `check_table` for one file that a script splits."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from ml_intern.evidence.findings import Finding
from ml_intern.evidence.overlap import columns, near
from ml_intern.evidence.overlap.exact import ExactCount
from ml_intern.evidence.overlap.rows import DataFile, NotReadableError, TableRow, open_data
from ml_intern.text.formatting import plural

SplitMethod = Literal["random", "group", "order"]
_FIRST_ROWS: Final = 20_000
_MAX_NEAR: Final = 1_000_000
_MIN_SHARE: Final = 0.001
_MIN_ROWS: Final = 3
_OWN_PROBES: Final = 2_000
_IMBALANCED: Final = 0.9


def check_splits(train: Path, test: Path) -> list[Finding]:
    """Return facts on rows, groups and times that stand in both files, and on columns that state the target.

    Memory is bounded by the test file. Where a file cannot be read, one finding `not-checked` says why.
    """
    try:
        return list(_compared(open_data(train), open_data(test)))
    except NotReadableError as error:
        return [Finding("not-checked", str(error), test.name)]


def _compared(train: DataFile, test: DataFile) -> Iterator[Finding]:
    first, first_rows = list(islice(test.rows(), _FIRST_ROWS)), list(islice(train.rows(), _FIRST_ROWS))
    if not first or not first_rows or len(train.columns) != len(test.columns):
        return
    skipped = columns.identifiers(test.columns, first)
    yield from _rows(train, test, skipped, first_rows)
    yield from _groups(train, test, first_rows)
    yield from _times(train, test, first_rows, first)


def _rows(
    train: DataFile, test: DataFile, skipped: frozenset[int], first_rows: Sequence[TableRow]
) -> Iterator[Finding]:
    """Find exact and near copies in one pass over the training rows."""
    exact = ExactCount([at for at in range(len(test.columns)) if at not in skipped] if skipped else ())
    exact.index(test.rows())
    sample = list(_spread(test, exact.indexed))
    probes = list(enumerate(first_rows))[:: max(1, len(first_rows) // _OWN_PROBES)][:_OWN_PROBES]
    target = columns.target_column(test.columns)
    counter = near.near_count(sample, probes, skipped | ({target} if target is not None else set()))
    take = exact.counter()
    number = -1
    for number, row in enumerate(train.rows()):
        take(row)
        if counter is not None and number < _MAX_NEAR:
            counter.take(number, row)
    found = _exact(exact, train, test)
    if found is not None:
        yield found
    elif counter is not None:
        yield from _near(counter, train, test, len(sample))


def _spread(test: DataFile, count: int) -> Iterator[TableRow]:
    """Yield rows from all over the file, at most as many as are looked for."""
    step = max(1, -(-count // near.SAMPLE))
    return islice(test.rows(), 0, None, step)


def _exact(exact: ExactCount, train: DataFile, test: DataFile) -> Finding | None:
    if exact.copies < _MIN_ROWS or exact.share < _MIN_SHARE or exact.share < 2 * exact.usual:
        return None
    message = f"{exact.copies} of {exact.indexed} rows also stand in {train.path.name} ({exact.share:.1%})"
    return Finding("rows-in-both-splits", message, test.path.name)


def _near(counter: near.NearCount, train: DataFile, test: DataFile, size: int) -> Iterator[Finding]:
    share, usual = counter.shares()
    if share >= _MIN_SHARE and share * size >= _MIN_ROWS and share >= 2 * usual:
        some = "" if size < near.SAMPLE else " sampled"
        message = (
            f"{plural(round(share * size), 'row')} of {size}{some} nearly equal rows of {train.path.name} ({share:.1%})"
        )
        yield Finding("near-copies-in-both-splits", message, test.path.name)


def _groups(train: DataFile, test: DataFile, first_rows: Sequence[TableRow]) -> Iterator[Finding]:
    for at in columns.group_columns(train.columns, first_rows):
        name = train.columns[at]
        if name not in test.columns:
            continue
        other = test.columns.index(name)
        known = {row[at] for row in train.rows() if at < len(row)}
        cells = [row[other] for row in islice(test.rows(), _FIRST_ROWS) if other < len(row)]
        shared = sum(cell in known for cell in cells)
        if shared >= max(_MIN_ROWS, 0.05 * len(cells)):
            message = f"{shared} of {len(cells)} rows share their '{name}' with rows in {train.path.name}"
            yield Finding("groups-in-both-splits", message, test.path.name)


def _times(
    train: DataFile, test: DataFile, first_rows: Sequence[TableRow], first: Sequence[TableRow]
) -> Iterator[Finding]:
    at = columns.time_column(train.columns, first_rows)
    if at is None or columns.time_column(test.columns, first) != at:
        return
    last = max((row[at] for row in train.rows() if at < len(row)), key=_time_key)
    earlier = sum(_time_key(row[at]) <= _time_key(last) for row in first)
    if earlier > len(first) / 2:
        message = (
            f"{earlier} of {len(first)} rows are earlier than the latest '{train.columns[at]}' of {train.path.name}"
        )
        yield Finding("times-in-both-splits", message, test.path.name)


def _time_key(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return 0.0, text


def check_features(file: Path, selection: str, source: str) -> list[Finding]:
    """Return the columns that state the target and are among the features that a script selects from a file.

    `selection` is the subscript of the columns in the script, such as `:-1`; "" if it takes the table as it is.
    """
    try:
        data = open_data(file)
        first_rows = list(islice(data.rows(), _FIRST_ROWS))
    except NotReadableError as error:
        return [Finding("not-checked", str(error), file.name)]
    target = columns.target_column(data.columns)
    goal = data.columns[target] if target is not None else ""
    return [
        Finding("column-states-target", f"the feature '{name}' alone gives '{goal}' ({share:.1%})", file.name)
        for name, share in columns.proxies(data.columns, first_rows)
        if columns.is_selected(data.columns, name, selection, source)
    ]


def check_table(file: Path, method: SplitMethod, path: str = "", line: int = 0) -> list[Finding]:
    """Return facts on a table that a script (`path`, `line`) splits by this method."""
    try:
        data = open_data(file)
        first_rows = list(islice(data.rows(), _FIRST_ROWS))
    except NotReadableError as error:
        return [Finding("not-checked", str(error), file.name)]
    return list(_split_table(data, first_rows, method, path, line))


def _split_table(
    data: DataFile, first_rows: Sequence[TableRow], method: SplitMethod, path: str, line: int
) -> Iterator[Finding]:
    if method != "random":
        return
    for at in columns.group_columns(data.columns, first_rows):
        groups = len({row[at] for row in first_rows if at < len(row)})
        name = data.columns[at]
        found = f"'{name}' has {plural(groups, 'value')} in {plural(len(first_rows), 'row')}"
        message = f"{data.path.name} is split by rows, and {found}"
        yield Finding("groups-in-both-splits", message, path or data.path.name, line)
    at_time = columns.time_column(data.columns, first_rows)
    if at_time is not None:
        message = f"{data.path.name} is split at random, and its rows are a series in '{data.columns[at_time]}'"
        yield Finding("times-in-both-splits", message, path or data.path.name, line)


def check_imbalance(test: Path, metric: str) -> list[Finding]:
    """Return the fact that one class dominates, if `metric` is accuracy."""
    if "acc" not in metric.lower() or "balanced" in metric.lower():
        return []
    try:
        data = open_data(test)
        shares = columns.class_shares(data.columns, list(islice(data.rows(), _FIRST_ROWS)))
    except NotReadableError:
        return []
    name, share = next(iter(shares.items()), ("", 0.0))
    if share < _IMBALANCED:
        return []
    message = f"the class '{name}' has {share:.1%} of the rows: always answering it has that accuracy"
    return [Finding("imbalanced-classes", message, test.name)]
