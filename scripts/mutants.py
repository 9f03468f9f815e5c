"""Mutation testing (`make mutants`): change the code in small ways, and list the changes that no test notices.

cosmic-ray changes a copy of the repository in .cache/mutants, one change at a time, and the tests that run the changed
lines decide. A result is saved after each mutant: a run that was stopped continues, and unchanged modules are not
tested again.
"""

import argparse
import ast
import hashlib
import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code, use_mutation
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import OPERATOR_PROVIDERS, get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkItem, WorkResult

from scripts import mutant_tests as tests

MUTATED = ("nodes", "store", "execution", "safety/policy.py", "safety/rules.py", "safety/rule_settings.py")
"""The folders and files that are mutated."""
UNSAFE = "execution/process/sessions.py"
"""This module chooses the processes to end. A mutant of it could end every process of the user."""
EXPLAINED = tests.ROOT / "bench" / "mutants.md"
"""The survivors that no test can notice, with the reasons."""
CORE = (
    *(f"ReplaceComparisonOperator_{pair}" for pair in (
        "Eq_NotEq", "NotEq_Eq", "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Is_IsNot", "IsNot_Is",
    )),
    *(f"ReplaceBinaryOperator_{pair}" for pair in (
        "Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "BitOr_BitAnd", "BitAnd_BitOr",
    )),
    "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer",
    "ReplaceUnaryOperator_Delete_Not", "ZeroIterationForLoop",
)  # fmt: skip
"""The operators of cosmic-ray that are used. The others replace an operator in ways that any test notices."""
NAMED_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_, ]* = ")
Position = tuple[int, int]


class RemoveStatement(Operator):  # type: ignore[misc]
    """Remove a call, or an assignment to an attribute or an item: a counter that no longer resets, for example."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        """Yield the position of the statement if `node` is one of these."""
        if node.type == "simple_stmt" and _has_effect(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ARG002
        """Replace the statement by `pass`."""
        first = node.get_first_leaf()
        node.children[0] = parso.python.tree.Keyword("pass", first.start_pos, first.prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Return an example for the documentation of cosmic-ray."""
        return (Example("self.count = 0\n", "pass\n"),)


OPERATOR_PROVIDERS["own"] = {"RemoveStatement": RemoveStatement}
OPERATORS = (*(f"core/{name}" for name in CORE), "own/RemoveStatement")


def _has_effect(statement: Any) -> bool:
    node = statement
    if node.type == "expr_stmt":
        target, operator = node.children[:2]
        return target.type in {"atom_expr", "power"} or (operator.type == "operator" and operator.value != "=")
    return node.type in {"atom_expr", "power"}


def modules() -> Iterator[str]:
    """Yield the modules that are mutated."""
    for name in MUTATED:
        path = tests.ROOT / name
        found = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        names = (str(one.relative_to(tests.ROOT)) for one in found if one.name != "__init__.py")
        yield from (one for one in names if one != UNSAFE)


@cache
def source(module: str) -> str:
    """Return the source of a module, without a mutation."""
    return (tests.ROOT / module).read_text()


def mutants(module: str) -> dict[Position, list[MutationSpec]]:
    """Return the possible mutations of a module by the positions where they begin."""
    nodes = list(ast_nodes(get_ast(source(module))))
    ignored = [*_ignored(ast.parse(source(module))), *_separators(nodes)]
    found: dict[Position, list[MutationSpec]] = defaultdict(list)
    for name in OPERATORS:
        operator = get_operator(name)()
        spans = (span for node in nodes for span in operator.mutation_positions(node))
        for occurrence, (start, end) in enumerate(spans):
            if not any(first <= start < last for first, last in ignored):
                found[start].append(MutationSpec(Path(module), name, occurrence, start, end))
    return found


def _ignored(tree: ast.Module) -> Iterator[tuple[Position, Position]]:
    """Yield the positions of annotations, decorators and type-checking blocks, which the type checker tests."""
    for node in ast.walk(tree):
        parts: list[ast.expr | ast.stmt | None] = []
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                parts = [node.returns, *node.decorator_list]
            case ast.ClassDef():
                parts = [*node.decorator_list]
            case ast.arg() | ast.AnnAssign():
                parts = [node.annotation]
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                parts = [node]
        for part in parts:
            if part is not None:
                yield (part.lineno, part.col_offset), (part.end_lineno or 0, part.end_col_offset or 0)


def _separators(nodes: Iterable[Any]) -> Iterator[tuple[Position, Position]]:
    """Yield the positions of `*` and `/` between parameters, which cosmic-ray takes for operators."""
    for node in nodes:
        if node.type == "operator" and node.parent.type in {"parameters", "param"}:
            yield node.start_pos, node.end_pos


def sample(count: int, seed: int) -> list[WorkItem]:
    """Return `count` mutants, one per position, from all modules in proportion to their positions. 0 is all mutants."""
    found = {module: mutants(module) for module in modules()}
    total = sum(map(len, found.values()))
    chosen: list[WorkItem] = []
    for module, places in found.items():
        order = random.Random(f"{seed} {module}")
        positions = sorted(places)
        order.shuffle(positions)
        share = round(count * len(places) / total) if count else len(places)
        picks = (places[one] if not count else [order.choice(places[one])] for one in positions[:share])
        chosen += [_item(spec) for specs in picks for spec in specs]
    return chosen


def _item(spec: MutationSpec) -> WorkItem:
    name = f"{spec.module_path} {spec.operator_name} {spec.occurrence} {source(str(spec.module_path))}"
    return WorkItem.single(hashlib.sha256(name.encode()).hexdigest(), spec)


def mutated(spec: MutationSpec) -> str:
    """Return the mutated source of a module; "" if the mutation does not give another valid module."""
    return _mutated(str(spec.module_path), spec.operator_name, spec.occurrence)


@cache
def _mutated(module: str, operator: str, occurrence: int) -> str:
    before = source(module)
    with suppress(SyntaxError, AttributeError):  # cosmic-ray fails at a dotted name of an exception
        after = mutate_code(before, get_operator(operator)(), occurrence)
        compile(after or "", module, "exec")
        return "" if after is None or after == before else str(after)
    return ""


def is_value(spec: MutationSpec) -> bool:
    """Return whether a mutation changes the number of a named constant, which is a choice and not a promise."""
    line = source(str(spec.module_path)).splitlines()[spec.start_pos[0] - 1]
    return spec.operator_name == "core/NumberReplacer" and NAMED_CONSTANT.match(line) is not None


def changed(spec: MutationSpec) -> tuple[str, str]:
    """Return the first line that a mutation changes, before and after it."""
    pairs = zip(source(str(spec.module_path)).splitlines(), mutated(spec).splitlines(), strict=False)
    old, new = next(((old, new) for old, new in pairs if old != new), ("", ""))
    return old.strip(), new.strip()


def run(items: Sequence[WorkItem], results: WorkDB, known: tests.Map) -> None:
    """Test the mutants one after another and save each result."""
    for number, item in enumerate(items, 1):
        [spec] = item.mutations
        parts = known.covering(str(spec.module_path), spec.start_pos[0], spec.end_pos[0])
        outcome = _test(spec, parts, known)
        results.set_result(item.job_id, outcome)
        word = outcome.test_outcome.value if outcome.test_outcome else outcome.worker_outcome.value
        print(f"{number}/{len(items)} {word:9} {sum(map(len, parts)):4} tests  {_line(spec)}", flush=True)


def _test(spec: MutationSpec, parts: Sequence[Sequence[str]], known: tests.Map) -> WorkResult:
    if not parts:
        return WorkResult("normal", "no test runs this line", TestOutcome.SURVIVED)
    with use_mutation(spec.module_path, get_operator(spec.operator_name)(), spec.occurrence):
        survived = all(tests.passes(chosen, known.limit(chosen)) for chosen in parts)
    if survived:
        return WorkResult("normal", "", TestOutcome.SURVIVED)
    output, name = (tests.CACHE / "output").read_text(errors="replace")[-2_000:], tests.failed_test(chain(*parts))
    if name and not tests.passes([name], known.limit([name])):
        print(f"left out, since it fails without the mutant too: {name}", flush=True)
        others = ([test for test in chosen if test != name] for chosen in parts)
        return _test(spec, [chosen for chosen in others if chosen], known)
    return WorkResult("normal", output, TestOutcome.KILLED)


def _line(spec: MutationSpec) -> str:
    old, new = changed(spec)
    return f"{spec.module_path}:{spec.start_pos[0]}  {old}  ->  {new}"


def report(items: Iterable[WorkItem], results: WorkDB) -> None:
    """Print the share of killed mutants, and each survivor that EXPLAINED does not explain."""
    outcomes = dict(results.results)
    tested = [(item.mutations[0], outcomes[item.job_id]) for item in items if item.job_id in outcomes]
    survivors = sorted((spec for spec, result in tested if not result.is_killed), key=_line)
    explained = [spec for spec in survivors if _is_explained(spec)]
    killed, rest = len(tested) - len(survivors), len(tested) - len(explained)
    print(f"\nkilled {killed} of {len(tested)} ({killed / max(1, len(tested)):.1%})")
    print(f"without the {len(explained)} that {EXPLAINED.name} explains: {killed / max(1, rest):.1%}")
    for spec in survivors:
        print("  explained " if spec in explained else "  SURVIVED  ", _line(spec))


def _is_explained(spec: MutationSpec) -> bool:
    """Return whether EXPLAINED has the mutation, whatever its line number is now."""
    old, new = (line.replace("|", "\\|") for line in changed(spec))
    row = f"| `{spec.module_path}` | `{old}` | `{new}` |"
    return EXPLAINED.exists() and row in EXPLAINED.read_text()


def main() -> int:
    """Test the sample and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=160, help="size of the sample (default 160)")
    parser.add_argument("--seed", type=int, default=14, help="chooses the sample (default 14)")
    parser.add_argument("--all", action="store_true", help="test all mutants")
    parser.add_argument("--again", action="store_true", help="test the survivors again")
    parser.add_argument("--renew", action="store_true", help="measure again which tests run which lines")
    parser.add_argument("--report", action="store_true", help="only report what is saved")
    given = parser.parse_args()
    if not given.report:
        tests.isolate()
    tests.CACHE.mkdir(parents=True, exist_ok=True)
    chosen = sample(0 if given.all else given.count, given.seed)
    items = [item for item in chosen if mutated(item.mutations[0]) and not is_value(item.mutations[0])]
    with use_db(str(tests.CACHE / "results.sqlite"), WorkDB.Mode.create) as results:
        saved = {item.job_id for item in results.work_items}
        results.add_work_items(item for item in items if item.job_id not in saved)
        done = {job for job, result in results.results if result.is_killed or not given.again}
        if not given.report:
            tests.copy_repository()
            known = tests.Map.load(renew=given.renew)
            tests.preload()
            waiting = [item for item in items if item.job_id not in done]
            run(sorted(waiting, key=lambda item: item.job_id), results, known)  # in no order: a part is a sample too
        report(items, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
