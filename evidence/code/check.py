"""The rules on one script: `check_code` for findings, `read_code` for all facts."""

import ast
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from ml_intern.evidence.code.expressions import TooDeepError
from ml_intern.evidence.code.machine import ScriptInterpreter
from ml_intern.evidence.code.recorder import FirstRows, Metric, Recorder, SplitFact
from ml_intern.evidence.code.saving import check_models
from ml_intern.evidence.code.syntax.counts import character_counts
from ml_intern.evidence.code.syntax.handlers import Substitution, substitutions
from ml_intern.evidence.code.syntax.seeds import unused_seeds
from ml_intern.evidence.findings import Finding

MAX_SOURCE: Final = 200_000
"""Scripts with more bytes than this are not analysed."""
_MODEL_USES: Final = frozenset(
    {
        "parameters",
        "state_dict",
        "predict",
        "predict_proba",
        "eval",
        "fit",
        "partial_fit",
        "zero_grad",
        "decision_function",
    }
)


@dataclass(frozen=True)
class CodeFacts:
    """The facts of one script."""

    findings: tuple[Finding, ...] = ()
    metrics: tuple[Metric, ...] = ()
    test_tries: int = 0
    """How many times it evaluates on test rows, as far as the code says. A loop of unknown length counts once."""
    models: dict[str, int] = field(default_factory=dict[str, int])
    """The classes of models that it uses, with their lines."""
    substitutions: tuple[Substitution, ...] = ()
    """The handlers that replace data or weights when they run."""
    splits: tuple[SplitFact, ...] = ()
    fitted_files: frozenset[str] = frozenset()
    evaluated_files: frozenset[str] = frozenset()
    rescaled: tuple[Finding, ...] = ()
    """Errors on targets that are scaled or a logarithm, for an answer that gives them without saying so."""
    selected: tuple[Finding, ...] = ()
    """Metrics on test rows that predictions select, for an answer that gives them as those of the test split."""
    features: frozenset[tuple[str, str]] = frozenset()
    """Files with the selection of columns that a model is fitted on, as the script writes it."""
    first_rows: tuple[FirstRows, ...] = ()
    """Metrics on a part of the rows of a test file; none if the script also has a metric on other test rows."""
    not_analysed: str = ""
    """Why the script was not analysed; "" if it was."""


def check_code(source: str, path: str, *, handled: Collection[int] | None = None) -> list[Finding]:
    """Return the facts in a script that make its results doubtful.

    `handled` names lines inside the `except` blocks that ran. Without it the rule on substitutions says nothing.
    """
    return list(read_code(source, path, handled=handled).findings)


def read_code(source: str, path: str, *, handled: Collection[int] | None = None) -> CodeFacts:
    """Return all facts of a script; `not_analysed` says why there are none."""
    if len(source.encode("utf-8", "surrogatepass")) > MAX_SOURCE:
        return CodeFacts(not_analysed=f"larger than {MAX_SOURCE // 1000} kB")
    try:
        return _followed(ast.parse(source), path, handled)
    except (SyntaxError, ValueError) as error:
        return CodeFacts(not_analysed=f"not valid Python: {' '.join(str(error).split())}")
    except (RecursionError, MemoryError):
        return CodeFacts(not_analysed="nested too deeply")
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        return CodeFacts(not_analysed=f"an error of the rules: {type(error).__name__}")
    except TooDeepError:
        return CodeFacts(not_analysed="too many paths")


def _followed(tree: ast.Module, path: str, handled: Collection[int] | None) -> CodeFacts:
    recorder = Recorder(path)
    machine = ScriptInterpreter(recorder, _used_as_model(tree), _aliases(tree))
    machine.run(tree.body)
    machine.run_unused(tree)
    recorder.drop_ranges()
    check_models(recorder)
    replaced = tuple(substitutions(tree))
    for one in replaced:
        if handled is not None and any(one.line <= line <= one.end for line in handled):
            message = f"after an exception, {one.name} comes from {one.source} instead of {one.instead_of}"
            recorder.add("except-substitutes", one.line, message)
    for name, line in unused_seeds(tree):
        recorder.add("seed-not-set", line, f"{name} is assigned and never reaches a random generator or estimator")
    for name, line in character_counts(tree):
        message = f"the exponent is divided by len({name}), the number of characters of a text that is split into words"
        recorder.add("divided-by-characters", line, message)
    found = sorted(recorder.findings.values(), key=lambda one: one.line)
    return CodeFacts(
        tuple(found),
        tuple(recorder.metrics.values()),
        sum(recorder.test_tries.values()),
        recorder.models,
        replaced,
        tuple(sorted(recorder.splits, key=lambda one: one.line)),
        frozenset(recorder.fitted_files),
        frozenset(recorder.evaluated_files),
        tuple(recorder.rescaled.values()),
        () if _on_other_rows(recorder, recorder.selected) else tuple(recorder.selected.values()),
        frozenset(recorder.features),
        () if _on_other_rows(recorder, recorder.first_rows) else tuple(recorder.first_rows.values()),
    )


def _on_other_rows(recorder: Recorder, lines: Collection[int]) -> bool:
    """Whether the script also computes a metric on test rows outside these lines."""
    return any("test" in one.roles and line not in lines for line, one in recorder.metrics.items())


def _used_as_model(tree: ast.Module) -> frozenset[str]:
    owners = (node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in _MODEL_USES)
    return frozenset(
        one.id if isinstance(one, ast.Name) else one.attr for one in owners if isinstance(one, ast.Name | ast.Attribute)
    )


def _aliases(tree: ast.Module) -> dict[str, str]:
    return {
        alias.asname: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
