"""The list of files that other programs obey, and the judgement whether a path is one of them.

Every way to change a file asks this list: write, edit, downloads, shell commands and jobs. Git's control files are
refused in every mode. Other files are asked about, and refused in unattended mode once outside text is in the
conversation.
"""

import posixpath
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from functools import cache
from typing import Literal

from ml_intern.safety.files.facts import NO_FACTS, FileFacts
from ml_intern.text.word_table import words

ControlKind = Literal["git", "program"]


@dataclass(frozen=True)
class Control:
    """A file that other programs obey. `kind` git: refused in every mode."""

    kind: ControlKind
    path: str
    why: str
    """The use that another program makes of the file, as a clause."""

    @property
    def reason(self) -> str:
        """The reason for a verdict."""
        return f"{self.path}: {self.why}"


@dataclass(frozen=True)
class FilePattern:
    """A row of the table: what happens, and the names, parent folders and path patterns it applies to."""

    why: str
    names: str = ""
    folders: str = ""
    paths: tuple[str, ...] = ()


TABLE: tuple[FilePattern, ...] = (
    FilePattern(
        "a shell runs it when it starts",
        ".*shrc .*sh_profile .*sh_login .*sh_logout .*sh_aliases .*sh_history .profile .login .logout .zshenv "
        ".zprofile .zlogin .zlogout .envrc .inputrc .xprofile .xinitrc .xsession .pam_environment "
        ".autoenv .autoenv.zsh",
        ".bashrc.d .profile.d .zsh .oh-my-zsh .direnv",
    ),
    FilePattern(
        "version managers read it and run what it names",
        ".tool-versions .mise.toml .mise.*.toml mise.toml mise.*.toml .python-version .nvmrc .node-version "
        ".ruby-version .sdkmanrc",
        ".mise .asdf .rtx",
    ),
    FilePattern(
        "git and its hook managers run what it names",
        ".gitmodules .gitattributes .gitconfig .lfsconfig .pre-commit-config.y*ml .pre-commit-hooks.y*ml "
        "lefthook*.y*ml .lefthook*.y*ml .lintstagedrc* .overcommit.yml .huskyrc*",
        ".husky .githooks .git-hooks githooks git-hooks .lefthook",
    ),
    FilePattern(
        "an editor runs what it names when the folder is opened",
        "*.code-workspace devcontainer*.json .vimrc .gvimrc .nvimrc .exrc .nvim.lua _vimrc .dir-locals*.el "
        "*.sublime-project .editorconfig .lvimrc",
        ".vscode .vscode-server .idea .fleet .zed .devcontainer .vim .nvim .emacs.d .vs .cursor-server",
    ),
    FilePattern(
        "continuous integration runs it with the project's secrets",
        ".gitlab-ci*.y*ml .travis.y*ml azure-pipelines*.y*ml jenkinsfile* bitbucket-pipelines.y*ml .drone.* "
        ".woodpecker*.y*ml appveyor.y*ml .appveyor.y*ml cloudbuild*.y*ml buildspec*.y*ml .cirrus.* codefresh.y*ml "
        "wercker.y*ml netlify.toml vercel.json action.y*ml codemagic.yaml",
        ".github .gitlab .circleci .buildkite .woodpecker .drone .azure-pipelines .azuredevops .gitea .forgejo "
        ".semaphore .teamcity .tekton",
    ),
    FilePattern(
        "agents follow its instructions or start the programs it names",
        "agents.md agents.*.md claude.md claude.*.md gemini.md gemini.*.md skill.md "
        ".cursorrules .windsurfrules .clinerules .aider* .mcp*.json mcp.json "
        "cli_agent_config.json .goosehints copilot-instructions.md",
        ".ml-intern .agents .claude .codex .gemini .cursor .windsurf .continue .aider .roo .cline .opencode .goose",
    ),
    FilePattern(
        "python, pytest or a build runs it by itself",
        "conftest.py sitecustomize.py usercustomize.py setup.py setup.cfg pyproject.toml pytest.ini .pytest.ini "
        "tox.ini mypy.ini pylintrc .pylintrc .coveragerc .pydistutils.cfg pydistutils.cfg ipython_config.py "
        "jupyter_*_config.* uv.toml pip.conf pip.ini pyvenv.cfg .pypirc *.egg-link hatch_build.py pdm_build.py "
        "package.json .npmrc .yarnrc* .pnp.* .condarc .netrc .wgetrc .curlrc",
        ".ipython .jupyter .yarn",
        (
            r"/(?:site|dist)-packages/",
            r"/\.?venv[^/]*/(?:bin|scripts)/",
            r"/lib(?:64)?/python[\d.]*/[^/]*\.(?:pth|py)\Z",
        ),
    ),
    FilePattern("jupyter and editors start the kernel and the extensions that its metadata name", "*.ipynb"),
    FilePattern(
        "the system runs what it names when it starts or at set times",
        "",
        ".config/autostart .config/systemd .config/environment.d .local/share/applications launchagents launchdaemons",
        (r"/\.config/(?:pip|uv|git|fish|direnv|mise|nvim|code)(?:/|\Z)", r"/\.ssh(?:/|\Z)", r"/\.docker(?:/|\Z)"),
    ),
)
"""Rows of shell-style patterns. `names` match the last part of a path, `folders` any part."""

_HARMLESS_HIDDEN = words(
    ".gitignore .gitkeep .keep .dockerignore .npmignore .hfignore .ignore .rgignore .prettierignore .eslintignore "
    ".nojekyll .env.example .env.sample .env.template .env.dist .hydra .cache .ipynb_checkpoints .pytest_cache "
    ".ruff_cache .mypy_cache .hypothesis .tox .nox .ds_store .coverage .venv .virtualenv .tmp .logs .checkpoints "
    ".scratch .data .git-blame-ignore-revs"
)
"""Hidden names in the workspace that no program reads as settings."""
_GIT_DATA = words(
    "objects refs logs lfs index index.lock head orig_head fetch_head merge_head merge_msg merge_mode commit_editmsg "
    "cherry_pick_head revert_head rebase_head squash_msg auto_merge packed-refs packed-refs.lock description shallow "
    "shallow.lock gc.log gc.pid head.lock"
)
_GIT_CONTROL = words(
    "config config.lock config.worktree hooks commondir gitdir attributes git-rebase-todo sequencer rebase-merge "
    "rebase-apply alternates"
)
_GIT_WHY = "git runs the programs it names, also in your next `git status`"
_IGNORED_CHARACTERS = dict.fromkeys(
    [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF, 0x00AD, 0x034F]
)
_MIN_PREFIX = 3
"""A wildcard after fewer characters, such as *.py, is judged by the files it matches, not by its text."""
_WILDCARD = re.compile(r"[*?\[]")
_PROC_ROOT = re.compile(r"\A/proc/[^/]+/(?:task/[^/]+/)?root(?=/|\Z)")
_NTFS_GIT = re.compile(r"\.?gi[t0-9a-f]*~\d\Z")


@dataclass(frozen=True)
class Place:
    """The folders in which a path is judged."""

    workspace: str
    roots: tuple[str, ...] = ()
    """Additional folders of the user."""
    files: FileFacts = NO_FACTS


def find_control(path: str, place: Place) -> Control | None:
    """Return the control file that an absolute path is or, with wildcards, may be; None for an ordinary file."""
    path = _PROC_ROOT.sub("", posixpath.normpath(path)) or "/"
    parts = [_fold(part) for part in path.split("/") if part]
    return _git(path, parts, place) or _program(path, parts, place)


def first_control(paths: Iterable[str], place: Place) -> Control | None:
    """Return the strictest control file among the paths, git's first."""
    found = [control for path in paths if (control := find_control(path, place))]
    return min(found, key=lambda control: control.kind != "git", default=None)


def _fold(part: str) -> str:
    """Return a name as case-insensitive file systems and those of macOS and Windows compare it."""
    text = unicodedata.normalize("NFKC", part).translate(_IGNORED_CHARACTERS).casefold()
    text = text.split(":", 1)[0].rstrip(". ") or text
    return ".git" if _NTFS_GIT.match(text) else text


def _matches(part: str, pattern: str) -> bool:
    """Return whether a name matches a pattern of the table or, being a pattern itself, could be expanded to it."""
    wildcard = _WILDCARD.search(part)
    if wildcard is None:
        return part == pattern or (_WILDCARD.search(pattern) is not None and fnmatchcase(part, pattern))
    literal = re.sub(r"[*?]", "", pattern)
    begins_alike = part.startswith((".", "[.")) if literal.startswith(".") else wildcard.start() >= _MIN_PREFIX
    return begins_alike and fnmatchcase(literal, part)


def _git(path: str, parts: Sequence[str], place: Place) -> Control | None:
    for at, part in enumerate(parts):
        inner = parts[at + 1 :]
        if _matches(part, ".git"):
            return _in_git_folder(path, inner)
        if inner and _controls(inner) and _is_repository(path, at, place):
            return Control("git", path, _GIT_WHY)
    named = place.files.git_files(posixpath.dirname(path))
    if any(path == one or path.startswith(f"{one}/") for one in named):
        return Control("git", path, "the git settings of this repository name it, so git would run it")
    return None


def _is_repository(path: str, at: int, place: Place) -> bool:
    """Return whether the part `at` is a bare or separate repository, by its name or by what is in it."""
    names = [part for part in path.split("/") if part]
    folder = "/" + "/".join(names[: at + 1])
    return names[at].casefold().endswith(".git") or place.files.is_repository(folder)


def _controls(inner: Sequence[str]) -> bool:
    """Return whether a path in a repository's folder is a control file."""
    first = inner[0]
    if first in {"modules", "worktrees"}:
        return any(_is_any(part, _GIT_CONTROL) for part in inner[1:])
    if first in {"info", "objects"}:
        return _is_any(inner[-1], _GIT_CONTROL)
    return _is_any(first, _GIT_CONTROL)


def _is_any(part: str, names: frozenset[str]) -> bool:
    if not _WILDCARD.search(part):
        return part in names
    return part == "*" or any(_matches(part, name) for name in names)


def _in_git_folder(path: str, inner: Sequence[str]) -> Control:
    if not inner:
        return Control("git", path, "git takes its settings and hooks from it")
    if _controls(inner):
        return Control("git", path, _GIT_WHY)
    if inner[0] in _GIT_DATA or (inner[0] in {"modules", "worktrees"} and {*inner[1:]} & _GIT_DATA):
        return Control("program", path, "git keeps its own data there; changing it can lose commits")
    if inner[0] == "info" and inner[1:] and inner[1] in {"exclude", "sparse-checkout", "refs"}:
        return Control("program", path, "git reads it to decide which files it tracks")
    return Control("git", path, _GIT_WHY)


def _program(path: str, parts: Sequence[str], place: Place) -> Control | None:
    inside = _inside(path, parts, place)
    folded = "/" + "/".join(inside)
    for row in TABLE:
        if _in_row(row, inside, folded):
            return Control("program", path, row.why)
    hidden = next((part for part in inside if part.startswith(".") and part not in _HARMLESS_HIDDEN), "")
    if hidden and not re.match(r"\.(?:env\.)?[\w.-]*(?:ignore|cache)\Z", hidden):
        return Control("program", path, "programs read hidden files as their settings")
    return None


def _in_row(row: FilePattern, parts: Sequence[str], folded: str) -> bool:
    folders, nested = _folders(row.folders)
    return (
        (bool(parts) and _names(row.names).match(parts[-1]))
        or any(map(folders.match, parts))
        or any(_has_folder(parts, names) for names in nested)
        or any(re.search(pattern, folded) for pattern in row.paths)
    )


@dataclass(frozen=True)
class _Names:
    """Shell-style patterns, prepared for fast matching."""

    plain: frozenset[str]
    wild: "re.Pattern[str]"
    all: tuple[str, ...]

    def match(self, part: str) -> bool:
        """Return whether `_matches` is true for one of the patterns."""
        if _WILDCARD.search(part):
            return any(_matches(part, pattern) for pattern in self.all)
        return part in self.plain or self.wild.match(part) is not None


@cache
def _names(patterns: str) -> _Names:
    every = tuple(patterns.split())
    wild = [translate(one) for one in every if _WILDCARD.search(one)]
    return _Names(frozenset(every), re.compile("|".join(wild) or r"(?!)"), every)


@cache
def _folders(patterns: str) -> tuple[_Names, tuple[tuple[str, ...], ...]]:
    """Return the patterns of single folders, and those of a folder in a folder."""
    every = patterns.split()
    single = " ".join(one for one in every if "/" not in one)
    return _names(single), tuple(tuple(one.split("/")) for one in every if "/" in one)


def _has_folder(parts: Sequence[str], names: Sequence[str]) -> bool:
    starts = range(len(parts) - len(names) + 1)
    return any(all(_matches(*pair) for pair in zip(parts[at:], names, strict=False)) for at in starts)


def _inside(path: str, parts: Sequence[str], place: Place) -> Sequence[str]:
    """Return the parts below the innermost root of the user, so that a hidden parent of it does not count."""
    roots = sorted((place.workspace, *place.roots), key=len, reverse=True)
    root = next((one for one in roots if path == one or path.startswith(one.rstrip("/") + "/")), "")
    return parts[len([part for part in root.split("/") if part]) :]
