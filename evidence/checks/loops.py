"""How often code repeats something, as far as its constants say: epochs, seeds, folds."""

import ast
import math
import re
from collections.abc import Iterator, Sequence
from typing import Final

from ml_intern.evidence.checks.parsing import nodes_of

_KEYWORDS: Final = {
    "epoch": re.compile(r"^(?:n_?|num_?|max_?)?(?:train_?)?epochs?$"),
    "seed": re.compile(r"^(?:n_?|num_?)seeds$"),
    "fold": re.compile(r"^(?:n_splits|n_folds|num_folds|folds|cv)$"),
    "tree": re.compile(r"^(?:n_estimators|num_boost_round|num_trees|n_trees)$"),
    "trial": re.compile(r"^(?:n_trials|num_trials|max_evals)$"),
}
_TRAINS: Final = frozenset(
    {"partial_fit", "backward", "train_on_batch", "train_one_epoch", "train_epoch", "train_step"}
)
_EPOCH_NAMES: Final = re.compile(r"^(?:e|ep|epc)$")
_GRIDS: Final = frozenset({"GridSearchCV", "HalvingGridSearchCV", "ParameterGrid"})
_VALIDATES: Final = re.compile(r"^(?:cross_val\w*|\w+SearchCV|(?:Logistic|Ridge|Lasso|ElasticNet)\w*CV)$")

_DEFAULT_FOLDS: Final = 5
_SEEDS: Final = re.compile(r"^(?:random_state|seed|random_seed|set_seed|manual_seed|default_rng|RandomState)$")


def loop_counts(source: str, noun: str) -> list[int]:
    """Return the counts of epochs, seeds or folds in a source; none where constants do not decide them."""
    nodes = nodes_of(source)
    constants = _constants(nodes)
    found = [count for node in nodes for count in _counts(node, noun, constants)]
    if noun == "seed" and not found:
        found = _constant_seeds(nodes)
    return list(dict.fromkeys(found))


def _constant_seeds(nodes: Sequence[ast.AST]) -> list[int]:
    """Return how many different seeds the code sets, if each is a constant; none if it sets none."""
    given = [one for node in nodes for one in _seed_values(node)]
    known = {one.value for one in given if isinstance(one, ast.Constant)}
    return [len(known)] if known and all(isinstance(one, ast.Constant) for one in given) else []


def _seed_values(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.keyword) and node.arg and _SEEDS.match(node.arg):
        yield node.value
    elif isinstance(node, ast.Call) and _SEEDS.match(_last_name(node.func)):
        yield from node.args[:1]


def _constants(nodes: Sequence[ast.AST]) -> dict[str, int]:
    """Return the names that one whole number or one list of constants is assigned to."""
    found: dict[str, list[int]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            size = _size(node.value, {})
            found.setdefault(node.targets[0].id, []).append(-1 if size is None else size)
    return {name: sizes[0] for name, sizes in found.items() if len(sizes) == 1 and sizes[0] >= 0}


def _size(node: ast.expr, constants: dict[str, int]) -> int | None:
    """Return a whole number, or the length of a range or list of constants."""
    match node:
        case ast.Constant(value=int(number)) if not isinstance(node.value, bool):
            return number
        case ast.Name(id=name):
            return constants.get(name)
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return len(elements)
        case ast.Call(func=ast.Name(id="range"), args=args) if args:
            sizes = [_size(one, constants) for one in args]
            if any(one is None for one in sizes):
                return None
            return len(range(*[one or 0 for one in sizes])) if len(sizes) < 3 else None
    return None


def _counts(node: ast.AST, noun: str, constants: dict[str, int]) -> Iterator[int]:
    keyword = _KEYWORDS.get(noun)
    if keyword and isinstance(node, ast.keyword) and node.arg and keyword.match(node.arg):
        yield from _known(_size(node.value, constants))
    if isinstance(node, ast.Call) and noun == "fold":
        yield from _folds(node, constants)
    if isinstance(node, ast.Call) and noun == "setting":
        yield from _settings(node)
    if isinstance(node, ast.For | ast.comprehension) and isinstance(node.target, ast.Name):
        size = _size(node.iter, constants)
        if size is not None and _is_loop_of(node, noun):
            yield from _passes(node, size, constants)
    if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.SetComp) and noun == "seed":
        first = node.generators[0]
        if isinstance(first.target, ast.Name) and _seeds(node, first.target.id):
            yield from _known(_size(first.iter, constants))


def _passes(node: "ast.For | ast.comprehension", size: int, constants: dict[str, int]) -> Iterator[int]:
    """Yield how often a loop may run: up to a break at a constant, and nothing if another condition can end it."""
    stops = [
        one for one in getattr(node, "body", ()) if isinstance(one, ast.If) and isinstance(one.body[-1], ast.Break)
    ]
    if not stops:
        yield size
    elif (last := _last_value(stops[0].test, node.target, constants)) is not None:
        yield from (min(size, last), min(size, last + 1))


def _last_value(test: ast.expr, target: ast.expr, constants: dict[str, int]) -> int | None:
    """Return the value of a loop's variable at which a condition such as `epoch == 3` ends the loop."""
    match test:
        case ast.Compare(left=ast.Name(id=name), ops=[ast.Eq() | ast.GtE()], comparators=[bound]):
            return _size(bound, constants) if _is_name(target, name) else None
    return None


def _folds(node: ast.Call, constants: dict[str, int]) -> Iterator[int]:
    """Yield the folds that a splitter gets as its first argument, and scikit-learn's default of five."""
    name = _last_name(node.func)
    given = {one.arg for one in node.keywords}
    if name.endswith("KFold") and node.args:
        yield from _known(_size(node.args[0], constants))
    elif (_VALIDATES.match(name) and not given & {"cv", None}) or (name.endswith("KFold") and "n_splits" not in given):
        yield _DEFAULT_FOLDS


def _settings(node: ast.Call) -> Iterator[int]:
    """Yield the number of settings of a grid of constants, or of a random search."""
    name, named = _last_name(node.func), {one.arg: one.value for one in node.keywords}
    if name == "RandomizedSearchCV":
        yield from _known(_size(named.get("n_iter", ast.Constant(10)), {}))
    elif name in _GRIDS:
        place = 0 if name == "ParameterGrid" else 1
        grid = named.get("param_grid") or (node.args[place] if len(node.args) > place else None)
        sizes = [_size(one, {}) for one in grid.values] if isinstance(grid, ast.Dict) else [None]
        if all(size is not None for size in sizes):
            yield math.prod(size or 0 for size in sizes)


def _trains(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Call) and _last_name(one.func) in _TRAINS for one in ast.walk(node))


def _known(size: int | None) -> Iterator[int]:
    if size is not None:
        yield size


def _is_loop_of(node: "ast.For | ast.comprehension", noun: str) -> bool:
    name = node.target.id if isinstance(node.target, ast.Name) else ""
    if noun in name.lower() or (noun == "epoch" and _EPOCH_NAMES.match(name) and _trains(node)):
        return True
    return noun == "seed" and isinstance(node, ast.For) and _seeds(node, name)


def _seeds(node: ast.AST, name: str) -> bool:
    """Whether the loop variable is used as a seed."""
    for one in ast.walk(node):
        if isinstance(one, ast.keyword) and one.arg and _SEEDS.match(one.arg) and _is_name(one.value, name):
            return True
        if (
            isinstance(one, ast.Call)
            and _SEEDS.match(_last_name(one.func))
            and any(_is_name(a, name) for a in one.args)
        ):
            return True
    return False


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
