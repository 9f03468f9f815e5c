"""Texts and names are plain English: the wording that once read as translated does not come back."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.pages import ROOT, name_of, pages

WORDING: dict[str, str] = {
    # words and phrases that recurred
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\b(walled|(?<!fire)wall)s?\b(?![- ](clock|time))": "sandbox",
    r"\b(front )?doors?\b|\brooms\b": "interface, entry point, package, folder",
    r"\bstrays?\b": "unfinished call",
    r"\b(a|an|each|every|the|one|per) lanes?\b": "thread namespace",
    r"\bredo('s)? tips?\b": "redo target",
    r"\b(the|a|one|no|any|every|each|some|model|server) faults?\b|^faults? |\bfaulty\b|\bfaults (of|in)\b": "error",
    r"\badmit(s|ted)?\b": "redact",
    r"\blasting effects?\b": "irreversible effect",
    r"\bthe newest\b": "the latest, the most recent",
    r"\b(go|goes|going|went) on\b(?! (to|a|an|the) )": "continue",
    r"\bso many\b": "N",
    r"\bnobody\b|\bwhoever\b": "unattended mode, no one; name who",
    r"\b(is|are|was|were) (told|held)\b|\btold (of|apart)\b|\bholds (it|them)\b": "reported, locked, saved",
    r"\btells? (it|how|what|whether|which)\b": "say, show, report",
    r"\b(ours|our|we)\b": "ml-intern; name who",
    r"\b(\w+) of (yours|ours|theirs|one's own)\b": "your X",
    r"(?<!there )\b(is|are|was|were) no (?!longer\b|more\b|less\b|\w+er\b)[a-z]": "is not a",
    r"\bnames no\b|\bthat is none\b|\bno way\b|\bwidens? no\b": "does not name, is not, do not match",
    r"\bhas not(?=[.,;:)]|$)": "does not have, does not support",
    r"\b(takes?|taken|took|taking) (\w+ )?back\b|\bbrought back\b|\bbrings? back what\b": "undo, restore",
    r"\b(be|is|are|was|were) kept\b|\bkept (small|answers?)\b": "saved, stays",
    r"\bleft alone\b": "skipped, not changed",
    r"\b(a|one) (line|panel|row|message|result|page) an? (call|file|line|metric|model|row|run|step|task|tool|turn)\b"
    r"|\bone (tool|file) a (file|tool)\b|\bevent a line\b": "one X per Y",
    r"\b(share|shares) of (its|their) own\b|\bown share of\b": "its own limits",
    r"\bwhat is (known|said|odd) (of|about)\b|\bas far as is known\b": "details, messages, warnings; unknown",
    r"\bis not known\b(?! to\b)": "unknown; say which of the two it is",
    r"\bunder way\b|\bat rest\b": "running, idle",
    r"(?<=\w)(?<!http)\(s\)": "both forms through text.formatting.plural",
    r"\b1 (agents|calls|files|jobs|lines|messages|models|rows|runs|steps|threads|tokens|tools|turns)\b": "1 turn",
    # sentences of the first release
    r"leaves? models with|under your approval, your": "produces trained models with model cards",
    r"see it work|no key is needed, the package": "Try it without an API key",
    r"where pip refuses": "If pip reports an externally managed environment",
    r"skipped by name|what a machine lacks": "tests whose prerequisites are missing are skipped",
    r"for you alone": "that only you can read",
    r"names of credentials are taken": "Only known credential names are read",
    r"\babilities of one\b|\bfor its own model alone\b": "capabilities; only to the model given with -m",
    r"a model that sees|\bsees? images\b": "models that accept images",
    r"the sandbox does not hold|is shown and asked about": "outside the sandbox",
    r"leaves? nothing\b": "saves nothing to disk",
    r"\bwhat was spent\b": "spending is not undone",
    r"gets one line and exit": "prints a message and exits with 75",
    r"that takes many pages|sub-agent that only reads": "a read-only sub-agent",
    r"sends? nothing to (a )?places?": "will not send data to any host you have not named",
    r"\bthread(s that)? wakes?\b": "the agent resumes",
    r"what nobody can|is no python": "If a check cannot decide; is not valid Python",
    r"before any of them is known": "before one has succeeded",
    r"a mark and no proof|stands somewhere|that nothing in the thread holds": "a hint, not proof",
    r"what they say and why": "whether a command would be allowed, and why",
    r"weakest first|stronger than the": "merged in this order, later ones winning; overrides",
    r"none is the model's own|as the model has it": "the model's default",
    r"is said once\b": "one warning is shown",
    r"were stolen": "were compromised releases",
    r"\bcap was hit\b": "a limit was reached",
    r"behind the (agent|sandbox|wall)": "inside the sandbox",
    r"\bmove in them\b|\bshow threads, move\b": "list, show, undo, fork, export, import and delete threads",
    r"what a thread waits for": "a thread's pending approvals",
    r"the ways to a model|what can be called now": "providers and available models",
    r"asked for and missing": "error if unavailable",
    r"\bkeys? by name\b": "which API keys are set",
    r"reads the output any more|no model to work with": "quiet exit; No model configured",
    r"does not allow the next request|are spent or reserved": "only $X of the budget is left",
    r"catalogue or a fault|no result of this thread": "unknown; not found in any tool output",
    r"its name has no address|names without an address": "cannot resolve the host",
    r"since you did not trust|interactive start asks": "folder not trusted; run `ml-intern trust`",
    r"none of the answers": "Unknown answer",
    r"nothing can be done|tells which can": "which ml-intern requires; shows which do",
    r"if they are not there yet": "if missing",
}  # fmt: skip
"""A pattern, and what to write instead. Patterns ignore case."""

OLD_NAMES = re.compile(
    r"(Scene|Subject|Wish|Share|Worst|Left|Reach|Observed|Row|Link|Lane|Fault\w*|(?!ToolFault$)\w+Fault|Facts|GivenWay|Told|Stray\w*)"
    r"|_*((MOST|LONGEST)(_\w+)?|from_facts|lasting|mend\w*|admit\w*|give_way|look|wall\w*|door\w*|stray\w*|lanes?)"
)
"""Names of classes, functions and constants that the glossary replaces. Tool packages for 0.1 import ToolFault."""

NOT_PLURAL = (
    r"(?<!at most )(?<!first )(?<!last )(?<!than )(?<!of )\{\} (more |other |further )?"
    r"(agents|answers|attempts|calls|checks|experiments|files|folders|ids|jobs|likes|messages|models|pages|pieces|questions|requests|rows|rules|runs|"
    r"servers|settings|stars|steps|sub-agents|threads|tools|turns|upvotes)\b(?! (on|show|in the background))"
)


class Text(NamedTuple):
    """One string, comment or paragraph."""

    place: str
    words: str


def modules() -> list[Path]:
    """The modules of the package, at their place in the repository."""
    shipped = (path.resolve() for path in (ROOT / "ml_intern").iterdir())
    found = (path.rglob("*.py") if path.is_dir() else [path] for path in shipped)
    return sorted(path for group in found for path in group if path.suffix == ".py" and "__pycache__" not in path.parts)


def documents() -> list[Path]:
    """Documentation, prompts and the script of the demo."""
    named = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
    configs = [path for ending in ("md", "yaml") for path in sorted((ROOT / "configs").rglob(f"*.{ending}"))]
    return [*pages(), *named, *configs]


def in_one_line(text: str) -> str:
    return " ".join(text.split())


class Strings(ast.NodeVisitor):
    """Collects strings. The values in an f-string become {}."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.found.append((node.lineno, node.value))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
        self.found.append((node.lineno, "".join(map(str, parts))))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)


def code_texts(path: Path) -> Iterator[Text]:
    source = path.read_text(encoding="utf-8")
    strings = Strings()
    strings.visit(ast.parse(source))
    comments = [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for line, text in [*strings.found, *comments]:
        yield Text(f"{name_of(path)}:{line}", in_one_line(text))


def document_texts(path: Path) -> Iterator[Text]:
    for number, paragraph in enumerate(path.read_text(encoding="utf-8").split("\n\n"), start=1):
        yield Text(f"{name_of(path)}, paragraph {number}", in_one_line(paragraph))


@cache
def all_texts() -> tuple[Text, ...]:
    of_code = (text for path in modules() for text in code_texts(path))
    of_documents = (text for path in documents() for text in document_texts(path))
    return (*of_code, *of_documents)


def places(pattern: str) -> list[str]:
    """Where a pattern occurs, with the words around it."""
    compiled = re.compile(pattern, re.IGNORECASE)
    found = ((text, compiled.search(text.words)) for text in all_texts())
    return [f"{text.place}: {text.words[max(hit.start() - 40, 0) : hit.end() + 40]}" for text, hit in found if hit]


@pytest.mark.parametrize(("pattern", "instead"), WORDING.items(), ids=WORDING)
def test_no_text_reads_as_translated(pattern: str, instead: str) -> None:
    assert places(pattern) == [], f"write instead: {instead}"


def test_counts_are_formatted_by_plural() -> None:
    assert places(NOT_PLURAL) == []


def test_a_description_is_a_noun_and_not_a_question() -> None:
    described = (
        f"{name_of(path)}:{node.lineno}: {node.value.value}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    )
    assert [line for line in described if line.partition(": ")[2].startswith(("What ", "Which ", "Whose "))] == []


def test_no_name_is_one_that_the_glossary_replaces() -> None:
    found = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                names = [node.name]
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            else:
                continue
            found += [f"{name_of(path)}:{node.lineno}: {name}" for name in names if OLD_NAMES.fullmatch(name)]
    assert found == []
