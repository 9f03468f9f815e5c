"""Programs that run code of the project, judged for the sandbox: interpreters, launchers, checkers, pip."""

import posixpath
import re

from ml_intern.safety.shell.contained.files import judge_own_file
from ml_intern.safety.shell.paths import CommandContext
from ml_intern.safety.shell.readers import READ_ONLY_PROGRAMS
from ml_intern.safety.shell.tree import ShellCommand
from ml_intern.text.word_table import words

_SECRET_NAME = re.compile(r"(?:TOKEN|API_KEY|SECRET|PASSWORD)\b|environ")
OUTWARD_WORD = re.compile(
    r"(?i)trust_remote_code|push_to_hub|push_in_progress|hub_model_id|0\.0\.0\.0|"
    r"report_to\W+(?:all|wandb|comet)"
)
_RISKY_MODULES = words("http.server pip ensurepip venv webbrowser smtpd ftplib smtplib pydoc idlelib uv twine site")
_RISKY_TARGET = re.compile(r"(?i)install|deploy|publish|push|release|upload|clean|purge|reset")
_INSTALL_OPTIONS = frozenset(
    {
        "-q",
        "--quiet",
        "-U",
        "--upgrade",
        "-e",
        "--editable",
        "-v",
        "--no-deps",
        "--pre",
        "--no-cache-dir",
        "-r",
        "--no-cache",
    }
)
_PACKAGE = re.compile(r"[A-Za-z0-9][\w.-]*(?:\[[\w,-]+\])?(?:[=<>!~]=?=?[\w.*,<>=!~-]*)?\Z")


def judge_script(words: list[str], context: CommandContext) -> str:
    """Allow a program of the workspace given with its folder, such as ./run.sh."""
    if "/" not in words[0]:
        return f"{words[0]} can change or delete files of the workspace, or use the network"
    if (name := posixpath.basename(words[0])) in READ_ONLY_PROGRAMS:
        return f"{words[0]} is not the system's {name}, but another file with that name"
    return judge_own_file(words[0], context)


def judge_python(words: list[str], context: CommandContext) -> str:
    """Allow a script of the workspace, most modules, and inline code that does not refer to secrets."""
    position = 1
    while position < len(words) and words[position] in {"-u", "-B", "-O", "-I", "-s", "-E"}:
        position += 1
    rest = words[position:]
    if rest[:1] == ["-m"]:
        module = rest[1] if len(rest) > 1 else ""
        return (
            f"the module {module or '(none given)'} can install code or open the workspace to others"
            if not module or module.split(".")[0] in _RISKY_MODULES or module in _RISKY_MODULES
            else ""
        )
    if rest[:1] == ["-c"]:
        code = rest[1] if len(rest) > 1 else ""
        return "its code refers to secrets" if _SECRET_NAME.search(code) else ""
    return (
        judge_own_file(rest[0], context)
        if rest and not rest[0].startswith("-")
        else "without a script file of the workspace it can run any code"
    )


def judge_text(command: ShellCommand) -> str:
    """Judge Python code in a here-document like a file of the workspace."""
    code = "".join(one.target.text for one in command.redirects if one.operator.startswith("<<"))
    if not code:
        return "python would run what it gets from another program"
    found = _SECRET_NAME.search(code) or OUTWARD_WORD.search(code)
    return f"its code refers to {found.group()}" if found else ""


def judge_shell(words: list[str], context: CommandContext) -> str:
    """Allow a script of the workspace."""
    named = len(words) > 1 and not words[1].startswith("-")
    return judge_own_file(words[1], context) if named else "a shell without a script file runs whatever it gets"


def judge_launcher(words: list[str], context: CommandContext) -> str:
    """Allow a Python script of the workspace."""
    script = next((word for word in words[1:] if word.endswith(".py")), "")
    return judge_own_file(script, context) if script else "without a script file of the workspace it can run any code"


def judge_checker(words: list[str], _place: CommandContext) -> str:
    """Reject targets that publish, install or delete."""
    risky = next((word for word in words[1:] if _RISKY_TARGET.search(word) or "://" in word), "")
    return f"{words[0]} {risky} may publish, install or delete" if risky else ""


def judge_pip(words: list[str], context: CommandContext) -> str:
    """Allow installing packages of the index by name, and the project itself."""
    if words[1:2] in (["list"], ["show"], ["freeze"], ["check"], ["tree"]):
        return ""
    if words[1:2] != ["install"]:
        return f"{words[0]} {' '.join(words[1:2])} can change the environment"
    for word in words[2:]:
        is_own = word.startswith(("./", "/")) or word == "." or word.endswith(".txt")
        if is_own and (reason := judge_own_file(word.partition("[")[0], context)):
            return reason
        if not is_own and word not in _INSTALL_OPTIONS and not _PACKAGE.match(word):
            return f"{word} can install code from a place other than the package index"
    return ""
