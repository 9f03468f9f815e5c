"""Facts about a Python script, read from its syntax tree without running it."""

import ast
import hashlib
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.preflight.values import UNKNOWN, Values

_BLOCK = re.compile(r"(?m)^# /// script\s*$\s(?P<content>(^#(| .*)$\s)+)^# ///\s*$")
_TRAINS: Final = ("train", "fit", "backward")
_PUSHES: Final = (
    "push_to_hub",
    "upload_file",
    "upload_folder",
    "upload_large_folder",
    "create_commit",
    "sync_bucket",
    "batch_bucket_files",
)
_SAVES: Final = ("save_pretrained", "save_model", "save_file", "save_to_disk", "save", "dump", "to_parquet", "to_csv")
_UPLOAD_WORDS: Final = (("hf", "upload"), ("huggingface-cli", "upload"), ("hf", "sync"), ("hf", "buckets"))


@dataclass(frozen=True)
class FunctionCall:
    """A call in a script: the dotted name of the function and the known arguments."""

    path: str
    args: tuple[Any, ...]
    keywords: Mapping[str, Any]
    receiver: Any = UNKNOWN
    """The object it is called on, where known: the path in `Path("a").read_text()`."""

    @property
    def name(self) -> str:
        """The last part of the name."""
        return self.path.rpartition(".")[2]

    def value(self, keyword: str, place: int | None = None) -> Any:
        """Return an argument by keyword or position; UNKNOWN when it is missing or cannot be determined."""
        if keyword in self.keywords:
            return self.keywords[keyword]
        return self.args[place] if place is not None and place < len(self.args) else UNKNOWN


@dataclass(frozen=True)
class Program:
    """A script as the rules see it."""

    text: str
    calls: tuple[FunctionCall, ...] = ()
    imports: frozenset[str] = frozenset()
    """Top-level names of required imports, without those in try blocks and under TYPE_CHECKING."""
    dependencies: tuple[str, ...] | None = None
    """The package names in its PEP 723 block; None without a block."""
    strings: tuple[str, ...] = ()
    shape: str = ""
    """Digest of its structure. Changed constants, such as numbers and model names, do not affect it."""

    @property
    def digest(self) -> str:
        """sha256 of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def named(self, *names: str) -> Iterator[FunctionCall]:
        """Yield the calls of functions with one of these names, without their module or object."""
        return (call for call in self.calls if call.name in names)

    def setting(self, name: str) -> Any:
        """Return the last known value of a keyword argument in any call; UNKNOWN when there is none."""
        given = [call.keywords[name] for call in self.calls if name in call.keywords]
        return next((value for value in reversed(given) if value is not UNKNOWN), UNKNOWN)

    def is_set(self, *names: str) -> bool:
        """Whether any call passes one of these keywords with a value other than False or None."""
        return any(call.keywords.get(name) not in (None, False) for call in self.calls for name in names)

    @property
    def trains(self) -> bool:
        """Whether the script trains a model."""
        return any(call.name in _TRAINS and ("." in call.path or call.name == "fit") for call in self.calls)

    @property
    def saves(self) -> bool:
        """Whether the script saves output."""
        return self.trains or any("." in call.path for call in self.named(*_SAVES))

    @property
    def pushes(self) -> bool:
        """Whether the script uploads its output."""
        if any(self.named(*_PUSHES)):
            return True
        if self.is_set("push_to_hub"):
            return True
        words = set(self.strings)
        return any(set(pair) <= words or any(" ".join(pair) in one for one in words) for pair in _UPLOAD_WORDS)

    @property
    def models(self) -> tuple[str, ...]:
        """The ids or paths of the models it loads, where known."""
        loaded = [call.value("pretrained_model_name_or_path", 0) for call in self.named("from_pretrained")]
        made = [call.value("model", 0) for call in self.calls if call.name.endswith("Trainer")]
        piped = [call.value("model", 1) for call in self.named("pipeline")]
        sentence = [call.value("model_name_or_path", 0) for call in self.named("SentenceTransformer")]
        return _texts([*loaded, *made, *piped, *sentence])

    @property
    def datasets(self) -> tuple[str, ...]:
        """The ids or paths of the datasets it loads, where known."""
        return _texts([call.value("path", 0) for call in self.named("load_dataset")])


def words_of(plan: RunPlan) -> tuple[str, ...]:
    """Return the words of a plan's command, with shell command lines split."""
    words: list[str] = []
    for one in plan.command:
        try:
            words += shlex.split(one) if re.search(r"\s", one) else [one]
        except ValueError:
            words += one.split()
    return tuple(words)


def _texts(values: list[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))


def read_program(text: str, arguments: tuple[str, ...] = (), environment: Mapping[str, str] | None = None) -> Program:
    """Analyze a script as it would run with these command-line arguments and this environment.

    Raises:
        SyntaxError: it is not valid Python.
        ValueError: it contains null bytes, or its PEP 723 block is not valid TOML.
    """
    tree = ast.parse(text)
    values = Values.of(tree, arguments, environment or {})
    reader = _Reader(values)
    reader.visit(tree)
    return Program(
        text,
        tuple(reader.calls),
        frozenset(reader.imports),
        dependencies_of(text),
        tuple(reader.strings),
        _shape(tree),
    )


def dependencies_of(text: str) -> tuple[str, ...] | None:
    """Return the package names in a PEP 723 block, without versions; None without a block. Raises ValueError."""
    found = _BLOCK.search(text)
    if found is None:
        return None
    lines = [line[2:] if line.startswith("# ") else line[1:] for line in found["content"].splitlines()]
    listed = tomllib.loads("\n".join(lines)).get("dependencies", [])
    return tuple(package_name(str(one)) for one in listed)


def package_name(requirement: str) -> str:
    """Return the normalized package name of a requirement."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else ""


def _shape(tree: ast.Module) -> str:
    """Return a digest of the tree without its constants, which are removed from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.value = None
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@dataclass
class _Reader(ast.NodeVisitor):
    values: Values
    calls: list[FunctionCall] = field(default_factory=list[FunctionCall])
    imports: set[str] = field(default_factory=set[str])
    strings: list[str] = field(default_factory=list[str])

    def visit_Call(self, node: ast.Call) -> None:
        keywords: dict[str, Any] = {}
        for one in node.keywords:
            value = self.values.of_node(one.value)
            if one.arg is not None:
                keywords[one.arg] = value
            elif isinstance(value, dict):
                keywords.update(value)
        args = tuple(self.values.of_node(one) for one in node.args)
        receiver = self.values.of_node(node.func.value) if isinstance(node.func, ast.Attribute) else UNKNOWN
        self.calls.append(FunctionCall(dotted(node.func), args, keywords, receiver))
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.imports |= {alias.name.partition(".")[0] for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module and not node.level:
            self.imports.add(node.module.partition(".")[0])

    def visit_Try(self, node: ast.Try) -> None:
        """Ignore imports in a try block that catches their absence."""
        before = set(self.imports)
        for one in node.body:
            self.visit(one)
        if any(_catches_absence(handler) for handler in node.handlers):
            self.imports = before
        else:
            before = self.imports
        for later in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(later)

    def visit_If(self, node: ast.If) -> None:
        if dotted(node.test).endswith("TYPE_CHECKING"):
            for one in node.orelse:
                self.visit(one)
        else:
            self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Ignore docstrings."""
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.strings.append(node.value)


def _catches_absence(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return bool({dotted(one) for one in caught} & {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def dotted(node: ast.AST) -> str:
    """Return the dotted name of an expression: `a.b.c` for `a.b().c`; "" when it has none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return dotted(node.func) if isinstance(node, ast.Call) else ""
