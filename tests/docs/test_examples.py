"""The examples of README.md and docs/: commands parse, settings load, the tool works."""

import importlib
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.main import get_command

from ml_intern.cli import help_text, program_name, typer_app
from ml_intern.commands.argv import split
from ml_intern.configs.settings import Settings
from ml_intern.graph.operations import UserInput
from ml_intern.models.transports.scripted import ScriptStep
from ml_intern.safety.rule_settings import parse_rules
from ml_intern.tools.registry import ENTRY_POINTS, create_builtin_tools
from tests.docs.pages import DOCS, README, code_blocks, name_of, pages
from tests.session.conftest import Lab, turn

END_OF_COMMAND = re.compile(r"[|;&<>)]+|\d?>.*")
TOOL_PAGE = DOCS / "adding-a-tool.md"


def shell_lines(text: str) -> Iterator[str]:
    """The lines of shell blocks, of indented blocks, and of `run:` steps in workflow files."""
    workflow = [match for block in code_blocks(text, "yaml") for match in re.findall(r"run: ([^|\n].*)", block)]
    steps = [line for block in code_blocks(text, "yaml") for line in re.findall(r"^ {10}(.*)$", block, re.MULTILINE)]
    indented = re.findall(
        r"^    (\S.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    lines = "\n".join([*code_blocks(text, "bash"), *workflow, "\n".join(steps), *indented])
    yield from re.sub(r"\\\n\s*", " ", lines).splitlines()


def commands_in(line: str) -> Iterator[list[str]]:
    """The arguments of each call of ml-intern in a line of shell."""
    line = re.sub(r"echo \"[^\"]*\"", "", line)
    inner = re.findall(r"\$\(([^)]*)\)", line)
    for text in inner:
        yield from commands_in(text)
    line = re.sub(r"\"?\$\([^)]*\)\"?", "VALUE", line)
    for piece in re.split(r"(?:^|[\s\"(])(?:uv run )?ml-intern(?=\s|$)", line)[1:]:
        lexer = shlex.shlex(piece, posix=True, punctuation_chars="|;&<>()")
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words: list[str] = []
        for word in lexer:
            if END_OF_COMMAND.fullmatch(word):
                break
            words.append(word)
        yield words


EXAMPLES = sorted(
    {
        (name_of(page), tuple(words))
        for page in pages()
        for line in shell_lines(page.read_text())
        for words in commands_in(line)
    }
)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 60


@pytest.mark.parametrize(
    ("page", "words"), EXAMPLES, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_an_example_parses_as_the_program_would(page: str, words: tuple[str, ...]) -> None:
    request = split(words)
    if not request.wants:
        get_command(typer_app(request.command)).make_context(program_name(request.command), list(request.words))


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_options_of_commands_in_the_text_exist(page: Path) -> None:
    for span in re.findall(r"`ml-intern ([a-z][^`]*)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        command = split([word for word in span.split() if not word.startswith("-")]).command
        unknown = [word for word in span.split() if word.startswith("--") and word != "--"]
        assert [word for word in unknown if word not in help_text(command)] == [], span


def json_blocks() -> list[Any]:
    return [
        json.loads(block) for page in pages() for block in code_blocks(page.read_text(), "json") if "…" not in block
    ]


def test_the_settings_in_the_examples_are_valid() -> None:
    settings = [block for block in json_blocks() if set(block) & set(Settings.model_fields)]
    assert len(settings) >= 5
    for block in settings:
        loaded = Settings.model_validate(block)
        parse_rules(loaded.permissions.model_dump(mode="json"), "the example")


def test_the_workflow_and_the_script_are_valid() -> None:
    job, workflow, script = (
        yaml.safe_load(block)
        for name in ("ci.md", "models.md")
        for block in code_blocks((DOCS / name).read_text(), "yaml")
    )
    assert job["kind"] == "Job"
    assert workflow["jobs"]["evaluate"]["steps"]
    assert [ScriptStep.model_validate(step) for step in script]
    schemas = [block for block in json_blocks() if block.get("type") == "object"]
    jsonschema.Draft202012Validator.check_schema(schemas[0])


def install_the_example(folder: Path) -> None:
    """Lay the tool of the page out as an installed package: its module, and its entry point."""
    text = TOOL_PAGE.read_text()
    declared = tomllib.loads(code_blocks(text, "toml")[0])["project"]["entry-points"]
    assert set(declared) == {ENTRY_POINTS}
    lines = [f"[{ENTRY_POINTS}]", *(f"{name} = {target}" for name, target in declared[ENTRY_POINTS].items())]
    information = folder / "count_rows-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: count-rows\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (folder / "count_rows.py").write_text(code_blocks(text, "python")[0])


async def test_a_tool_added_as_the_page_says_is_called_by_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages, workspace = tmp_path / "site-packages", tmp_path / "workspace"
    packages.mkdir()
    workspace.mkdir()
    install_the_example(packages)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setitem(sys.modules, "count_rows", importlib.import_module("count_rows"))
    (workspace / "data.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n')
    lab = Lab(tmp_path / "home", workspace, create_builtin_tools())
    model = lab.script(
        {"tool_calls": [{"name": "count_rows", "args": {"path": "data.jsonl"}}]},
        {"text": "There are ${result:(\\d+) rows}."},
    )
    async with lab.session(model) as session:
        events = await turn(session, UserInput("How many rows?"))
    assert events[-1].data["text"] == "There are 2."


def test_the_readme_names_the_distribution_that_is_installed() -> None:
    from ml_intern.configs.version import DISTRIBUTION

    lines = [line for page in pages() for line in shell_lines(page.read_text())]
    named = re.findall(r"(?:uv tool|pip) install ['\"]?(ml-intern[\w-]*)", "\n".join(lines))
    assert set(named) == {DISTRIBUTION}
    assert DISTRIBUTION in README.read_text()
