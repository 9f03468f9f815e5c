"""Build the in-toto statement about a delivered artifact: its digest, the claims, what ran, and the files it used.

The statement is not signed. The same evidence gives the same bytes.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ml_intern.evidence.checks.files import WEIGHTS
from ml_intern.evidence.locks import is_evaluator
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.evidence.verdict import AnswerVerdict
from ml_intern.safety.secrets.redaction import redact_value
from ml_intern.text.digests import content_digest

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:ml-intern:evidence:v1"
SUFFIX: Final = ".intoto.json"
_NO_MODELS: Final = frozenset({".py", ".sh", ".csv", ".tsv", ".jsonl", ".parquet", ".txt", ".md", ""})
_MAX_FILES: Final = 200
_MAX_COMMAND: Final = 2_000


def delivered_artifacts(answer: str, seen: Observations) -> list[Path]:
    """Return the models that a program of this thread wrote and that the answer names, itself or by its folder.

    A model is a file of weights, or another file that the user's evaluator got as an argument, such as model.json.
    """
    evaluated = _evaluated(seen)
    written = [
        Path(path)
        for path, name in seen.written.items()
        if name and (Path(path).suffix in WEIGHTS or path in evaluated)
    ]
    return sorted(path for path in written if path.is_file() and _is_named(path, answer, seen, evaluated))


def _evaluated(seen: Observations) -> set[str]:
    """Return the arguments of the user's evaluators as paths, without code, tables and texts."""
    evaluators = {row.ref for row in seen.locks if is_evaluator(row.ref)}
    commands = [{str(run.folder / word) for word in one.arguments} for run in seen.programs for one in run.programs]
    found = {path for paths in commands if paths & evaluators for path in paths}
    return {path for path in found if Path(path).suffix not in _NO_MODELS or Path(path).is_dir()}


def _is_named(path: Path, answer: str, seen: Observations, evaluated: set[str]) -> bool:
    """Whether an answer names a file, its folder with a slash, or its folder that the evaluator got as an argument."""
    folder = seen.short(path.parent)
    if path.name in answer or path.parent == seen.workspace:
        return path.name in answer
    plain = str(path.parent) in evaluated and re.search(rf"(?<![\w./-]){re.escape(folder)}(?![\w-])", answer)
    return f"{folder}/" in answer or bool(plain)


def statement(artifacts: Sequence[Path], seen: Observations, verdict: AnswerVerdict) -> dict[str, Any]:
    """Return the statement about some artifacts. Raises OSError if one cannot be read."""
    own = {str(path) for path in artifacts}
    files = [one for one in _files(seen) if one not in own]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [_described(path, seen) for path in artifacts],
        "predicateType": PREDICATE_TYPE,
        "predicate": redact_value(
            {
                "verdict": {name: value for name, value in verdict.as_data().items() if name != "statements"},
                "runs": [_run(one) for one in seen.programs],
                "files": [_described(Path(path), seen) | {"role": _role(path, seen)} for path in files],
                "locks": [_lock(row.ref, row.body, seen) for row in seen.locks],
            }
        ),
    }


def as_text(content: Mapping[str, Any]) -> str:
    """Return a statement as JSON. Equal statements have equal texts."""
    return json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _described(path: Path, seen: Observations) -> dict[str, Any]:
    return {"name": name_of(path, seen), "digest": {"sha256": content_digest(path)}}


def name_of(path: Path, seen: Observations) -> str:
    """Return the name of a file in a statement: relative to the workspace, or to the name of an additional folder."""
    for root in (seen.workspace, *seen.roots):
        if path.is_relative_to(root):
            inner = path.relative_to(root)
            return str(inner if root == seen.workspace else root.name / inner)
    return path.name


def _files(seen: Observations) -> list[str]:
    """Return the existing files that the programs of the thread read or ran, and the locked files."""
    named = [path for run in seen.programs for path in (*_scripts(run), *sorted(run.opened))]
    paths = dict.fromkeys([*(row.ref for row in seen.locks), *named])
    return [path for path in paths if _is_input(Path(path))][:_MAX_FILES]


def _is_input(path: Path) -> bool:
    return path.is_file() and not path.name.endswith(SUFFIX)


def _scripts(run: Execution) -> Iterator[str]:
    for program in run.programs:
        yield from (str(run.folder / word) for word in program.arguments if word.endswith(".py"))


def _role(path: str, seen: Observations) -> str:
    if any(row.ref == path for row in seen.locks):
        return "locked" if any(row.ref == path and row.body["kind"] == "lock" for row in seen.locks) else "watched"
    if path.endswith((".py", ".sh", ".ipynb")):
        return "code"
    return "output" if path in seen.written else "data"


def _run(run: Execution) -> dict[str, Any]:
    return {
        "name": run.name,
        "command": run.command[:_MAX_COMMAND],
        "state": run.state,
        "began": round(run.began, 3),
        "seconds": round(run.seconds, 3),
        "incomplete": run.missed,
    }


def _lock(ref: str, body: Mapping[str, Any], seen: Observations) -> dict[str, Any]:
    digest = str(body["digest"])
    known = {} if digest.startswith("stat:") else {"digest": {"sha256": digest}}
    return {"name": name_of(Path(ref), seen), "kind": body["kind"], **known}
