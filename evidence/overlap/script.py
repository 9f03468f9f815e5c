"""The checks of the data that one script reads, chosen by what its code does with them."""

from collections.abc import Iterator
from pathlib import Path

from ml_intern.evidence.code.check import CodeFacts
from ml_intern.evidence.code.tables import role_of
from ml_intern.evidence.findings import Finding
from ml_intern.evidence.overlap.check import check_features, check_splits, check_table


def check_data(facts: CodeFacts, source: str, path: str, folder: Path) -> list[Finding]:
    """Return the facts on the files that a script run in `folder` splits, fits and evaluates; each fact once."""
    found = [
        *(one for split in facts.splits for one in _table(folder / split.file, split.method, path, split.line)),
        *_pairs(facts, folder),
        *(one for file, chosen in sorted(facts.features) for one in _features(folder / file, chosen, source)),
    ]
    return list(dict.fromkeys(found))


def _table(file: Path, method: str, path: str, line: int) -> list[Finding]:
    return check_table(file, "random", path, line) if method == "random" and file.is_file() else []


def _features(file: Path, chosen: str, source: str) -> list[Finding]:
    return check_features(file, chosen, source) if file.is_file() else []


def _pairs(facts: CodeFacts, folder: Path) -> Iterator[Finding]:
    """Compare the files that a model is fitted on with those that it is evaluated on."""
    for tested in sorted(facts.evaluated_files - facts.fitted_files):
        for fitted in sorted(facts.fitted_files):
            train, test = folder / fitted, folder / tested
            if role_of(test.stem) == "test" and train.suffix == test.suffix and train.is_file() and test.is_file():
                yield from check_splits(train, test)
