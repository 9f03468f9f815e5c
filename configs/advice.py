"""The advice of a trusted folder to the model: its AGENTS.md and the list of its skills. It grants no permissions."""

from collections.abc import Iterator
from pathlib import Path

from ml_intern.configs.trust import ADVICE, advice_files, decision

AGENTS_FILE, SKILLS_FOLDER = ADVICE
MAX_CHARACTERS = 20_000
"""Limit for AGENTS.md. The text says how much is left out."""
MAX_SKILLS = 60
_SKILL_FILE = "SKILL.md"
_DESCRIPTION = 400


def advice_of(folder: Path, *, trust: bool = False) -> str:
    """Return the advice of `folder` as markdown. Empty when the user does not trust it as it is, or there is none.

    With `trust` the folder counts as trusted.
    """
    if not trust and decision(folder) is not True:
        return ""
    agents, skills = _agents(folder), list(_skills(folder))
    parts = [f"## {AGENTS_FILE}\n\n{agents}"] if agents else []
    if skills:
        head = f"## Skills\n\nRead the {_SKILL_FILE} of one that fits the task before you begin, with the read tool."
        parts.append("\n".join([head, "", *skills]))
    return "\n\n".join(parts)


def advice_paths(folder: Path) -> list[Path]:
    """Return the files of which `advice_of` shows text, resolved."""
    return [path.resolve() for path in advice_files(folder) if path.name in (AGENTS_FILE, _SKILL_FILE)]


def _agents(folder: Path) -> str:
    text = _text(folder / AGENTS_FILE, folder).strip()
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[:MAX_CHARACTERS]}\n[... {len(text) - MAX_CHARACTERS:,} characters omitted; read the file]"


def _skills(folder: Path) -> Iterator[str]:
    """Yield one line per skill: name, description, path."""
    root = folder / SKILLS_FOLDER
    found = sorted(root.glob(f"*/{_SKILL_FILE}")) if root.is_dir() else []
    for path in found[:MAX_SKILLS]:
        about = _front_matter(_text(path, folder))
        name = about.get("name") or path.parent.name
        description = " ".join(about.get("description", "").split())[:_DESCRIPTION]
        yield f"- {name}: {description or '(no description)'} ({path.relative_to(folder)})"
    if len(found) > MAX_SKILLS:
        yield f"- {len(found) - MAX_SKILLS} more in {SKILLS_FOLDER}"


def _text(path: Path, folder: Path) -> str:
    """Return the text of a file. Empty when it does not exist or links to a place outside the folder."""
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        return ""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(2 * MAX_CHARACTERS)
    except OSError as error:
        return f"(cannot be read: {error.strerror})"


def _front_matter(text: str) -> dict[str, str]:
    import yaml

    if not text.startswith("---"):
        return {}
    try:
        found = yaml.safe_load(text[3:].partition("\n---")[0])
    except yaml.YAMLError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
