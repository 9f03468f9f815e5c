"""The generated pages are up to date and complete."""

import re
from typing import Any, cast

import pytest

from ml_intern.commands.options import OPTIONS
from ml_intern.commands.table import COMMANDS
from ml_intern.configs.env import CREDENTIALS, ENDPOINTS
from ml_intern.configs.errors import EXIT_CODES
from ml_intern.configs.schema import settings_rows
from ml_intern.configs.variables import INTERNAL_VARIABLES
from ml_intern.graph.events import EVENTS
from ml_intern.runs.preflight.check import RULES
from ml_intern.terminal.slash.table import SLASH_COMMANDS
from ml_intern.tools.registry import BUILTIN
from tests.docs.pages import DOCS, ROOT, reference, reference_script

FOLDERS = [path.name for path in (ROOT / "ml_intern").iterdir() if path.is_symlink() and path.is_dir()]


def test_the_pages_are_as_the_code_makes_them() -> None:
    assert reference_script().check() == [], "update them: python scripts/reference.py --write"


@pytest.mark.parametrize("name", reference_script().BLOCKS)
def test_a_change_by_hand_in_a_generated_part_is_noticed(name: str) -> None:
    page = next(page for page in reference_script().pages() if f"<!-- generated: {name} -->" in page.read_text())
    changed = page.read_text().replace(f"<!-- generated: {name} -->\n", f"<!-- generated: {name} -->\nby hand\n")
    assert name in reference_script().stale(changed)


def test_the_picture_of_the_loop_shows_every_node_of_the_graph() -> None:
    from ml_intern.graph.build import build_graph

    picture = (
        (DOCS / "architecture.md").read_text().partition("<!-- generated: loop -->\n```text")[2].partition("```")[0]
    )
    assert [node for node in build_graph(cast(Any, None)).nodes if node not in picture] == []


def test_everything_a_user_can_name_is_in_the_reference() -> None:
    wanted = {
        "options": [f"`{', '.join(spec.switches)}" for spec in OPTIONS.values() if spec.names],
        "commands": [f"## {name} {action}\n" for name, one in COMMANDS.items() for action in one.actions],
        "slash-commands": [name for command in SLASH_COMMANDS for name in command.names],
        "settings": [word for key, variable, _, _ in settings_rows() for word in (key, variable)],
        "events": [f"`{word}`" for name, spec in EVENTS.items() for word in (name, *spec.fields)],
        "exit-codes": [f"| {code} |" for code in EXIT_CODES],
        "tools": [f"## {spec.name}\n" for spec in BUILTIN],
        "checks": [f"`{name}`" for name in RULES],
        "environment": [f"`{name}`" for name in (*CREDENTIALS, *ENDPOINTS, *variables_of_the_program())],
    }
    missing = {page: [word for word in words if word not in reference(page)] for page, words in wanted.items()}
    assert {page: words for page, words in missing.items() if words} == {}


def variables_of_the_program() -> set[str]:
    """Every ML_INTERN_... variable that the shipped code names."""
    texts = (path.read_text() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    found = {name for text in texts for name in re.findall(r"\"(ML_INTERN_[A-Z_]*[A-Z])\"", text)}
    return found - INTERNAL_VARIABLES


def test_every_folder_of_the_program_is_on_the_map() -> None:
    page = (DOCS / "architecture.md").read_text()
    assert [folder for folder in FOLDERS if f"| `{folder}/` |" not in page] == []


def test_the_readme_is_short_and_has_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert "pip install uv && uv run ml-intern demo" in text
    assert "\n    uv run pytest\n" in text
