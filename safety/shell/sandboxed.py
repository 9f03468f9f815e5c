"""The check of commands that run unasked in the OS sandbox: the project's own code and writes in the workspace."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from ml_intern.safety.shell.contained.code import (
    OUTWARD_WORD,
    judge_checker,
    judge_launcher,
    judge_pip,
    judge_python,
    judge_script,
    judge_shell,
    judge_text,
)
from ml_intern.safety.shell.contained.files import (
    judge_copy,
    judge_mode,
    judge_own_file,
    judge_tar,
    judge_unzip,
    judge_writer,
)
from ml_intern.safety.shell.contained.tools import (
    HARMLESS_VARIABLE,
    SHOWN,
    judge_find,
    judge_git,
    judge_printenv,
    judge_xargs,
)
from ml_intern.safety.shell.credentials import expand_braces
from ml_intern.safety.shell.invocations import ParsedCommand, unwrapped_words
from ml_intern.safety.shell.paths import CommandContext
from ml_intern.safety.shell.readers import READ_ONLY_PROGRAMS
from ml_intern.safety.shell.reading import find_command_problem
from ml_intern.safety.shell.tree import PLAIN_KINDS, Redirect, ShellCommand, ShellWord, name_constructs
from ml_intern.safety.shell.words import PlainWord
from ml_intern.text.word_table import words

SANDBOXED_KINDS = PLAIN_KINDS | words(
    "variable_assignment variable_name = >> >| < <> heredoc_redirect heredoc_start heredoc_body heredoc_end "
    "heredoc_content << declaration_command declare export ansi_c_string & for_statement do_group for in do done "
    "if_statement if then elif else fi elif_clause else_clause test_command [ ] [[ ]] "
    "unary_expression binary_expression test_operator negated_command subshell compound_statement ( ) { } "
    "simple_expansion expansion $ ${ special_variable_name herestring_redirect <<< command_substitution $( "
    "brace_expression .. == != ="
)
_LOCAL_VARIABLE = re.compile(r"[a-z_][a-z0-9_]*\Z|[A-Z][A-Z0-9]?\Z")
_STDIN_PYTHON = re.compile(r"python[0-9.]*(?: -)?")
_ENTERS = re.compile(r"\s*cd\s+[^\s;&|]+\s*&&")
_WRAPPERS = frozenset({"time", "timeout", "nice", "stdbuf", "ionice"})
_UV_OPTIONS = frozenset({"-q", "--quiet", "--frozen", "--locked", "--no-sync", "--offline", "--active", "--isolated"})
_LAUNCHERS = frozenset({"torchrun", "accelerate", "deepspeed"})
_CHECKERS = frozenset(
    {"pytest", "py.test", "mypy", "pyright", "make", "ruff", "flake8", "pylint", "tox", "black", "isort", "coverage"}
)
_LISTINGS = frozenset(
    {
        ("env",),
        ("printenv",),
        ("set",),
        ("declare", "-x"),
        ("declare", "-p"),
        ("export",),
        ("export", "-p"),
        ("jobs",),
        ("wait",),
        ("set", "-e"),
        ("set", "-u"),
        ("set", "-eu"),
        ("set", "-x"),
        ("set", "-euo", "pipefail"),
        ("set", "-o", "pipefail"),
        ("break",),
        ("continue",),
    }
)


def find_sandbox_problem(parsed: ParsedCommand) -> str:
    """Return "" if every command may run unasked in the sandbox, else the problem."""
    shell = parsed.shells[0]
    if shell.has_error or not shell.kinds <= SANDBOXED_KINDS:
        used = name_constructs(shell.kinds - SANDBOXED_KINDS) or "shell syntax"
        return f"it uses {used} that may hide what would run"
    commands, context = list(shell.commands), parsed.context
    if (folder := _entered(commands, context)) and _ENTERS.match(parsed.text):
        commands, context = commands[1:], replace(context, cwd=folder)
    return next(filter(None, (_judge(command, context) for command in commands)), "")


def runs_no_code(parsed: ParsedCommand) -> bool:
    """Return whether everything that a command does is known: its programs only read, or change files it names."""
    names = {one.name for one in parsed.invocations}
    return names <= _KNOWN_EFFECTS and not find_sandbox_problem(parsed)


def _entered(commands: list[ShellCommand], context: CommandContext) -> str:
    """Return the folder of the workspace that the first command enters, or ""."""
    first = commands[0] if commands else None
    if first is None or first.name != "cd" or len(first.words) != 2 or not first.words[1].literal or first.redirects:
        return ""
    is_plain = not first.words[1].globbed and not first.arguments[0].startswith("-")
    return (
        context.absolute(first.arguments[0], context.folder)
        if is_plain and context.is_inside(first.arguments[0], context.folder)
        else ""
    )


def _judge(command: ShellCommand, context: CommandContext) -> str:
    words = _values(command.words)
    if words is None:
        return "" if _prints_harmless(command) else "its arguments are known only when it runs"
    if reason := _judge_assignments(command, context):
        return reason
    if reason := next(filter(None, (_judge_redirect(one, context) for one in command.redirects)), ""):
        return reason
    texts = tuple(word.text for word in words)
    if not words:
        return "" if command.assignments or command.redirects else "it contains no command"
    if texts in _LISTINGS or texts[0] in {"[", "[["} or (texts[0] == "exit" and all(map(str.isdecimal, texts[1:]))):
        return ""
    if texts[0] == "cd":
        return "it changes the folder, so that the paths after it may lead elsewhere"
    return judge_text(command) if _STDIN_PYTHON.fullmatch(" ".join(texts)) else _judge_program(words, context)


def _judge_assignments(command: ShellCommand, context: CommandContext) -> str:
    for name, value in command.assignments:
        if not value.is_known:
            return "the value of a variable is known only when it runs"
        if name == "PYTHONPATH":
            if reason := next(filter(None, (judge_own_file(part, context) for part in value.text.split(":"))), ""):
                return reason
        elif not HARMLESS_VARIABLE.match(name) and (command.words or not _LOCAL_VARIABLE.match(name)):
            return f"the variable {name} can change what the programs do"
    return ""


def _prints_harmless(command: ShellCommand) -> bool:
    """Return whether it only prints variables without secrets, and what commands print, which are judged themselves."""
    words = command.words
    shown = all(
        "$" not in word.text.replace("$(...)", "")
        or word.literal
        or (word.variables and all(map(SHOWN.fullmatch, word.variables)))
        for word in words
    )
    return command.name in {"echo", "printf"} and shown and not command.assignments and not command.redirects


def _values(words: Iterable[ShellWord]) -> list[ShellWord] | None:
    """Return the words with the values of variables in place, or None if one is unknown."""
    found: list[ShellWord] = []
    for word in words:
        if word.literal and not word.braced:
            found.append(word)
        elif not word.is_known or "..." in word.text:
            return None
        else:
            texts = expand_braces(word.text) if word.variables or word.braced else [word.text]
            found += [ShellWord(text, globbed=not {"*", "?", "["}.isdisjoint(text)) for text in texts]
    return found


def _judge_program(words: list[ShellWord], context: CommandContext) -> str:
    if words[0].text in _WRAPPERS and (rest := unwrapped_words(words[0].text, tuple(words[1:]))):
        skipped = words[1 : len(words) - len(rest)]
        is_plain = not any("=" in word.text and not word.text.startswith("-") for word in skipped)
        return _judge_program(list(rest), context) if is_plain else "a variable can change what the program does"
    texts = [word.text for word in words]
    if found := next((match for text in texts if (match := OUTWARD_WORD.search(text))), None):
        return f"{found.group()} has effects outside the sandbox"
    plain = [PlainWord(word.text, word.globbed) for word in words]
    reading = find_command_problem(plain, context, frozenset({context.folder}))
    if not reading:
        return ""
    if texts[0] in READ_ONLY_PROGRAMS and texts[0] not in _PROGRAMS and not READ_ONLY_PROGRAMS[texts[0]].needs_option:
        return reading
    judge = _PROGRAMS.get(re.sub(r"[0-9.]+\Z", "", texts[0]), judge_script)
    return judge(texts, context) if not words[0].globbed else reading


def _judge_redirect(redirect: Redirect, context: CommandContext) -> str:
    if redirect.operator in {">&", "<<", "<<<"}:
        return "" if redirect.target.literal else "its here-document contains an expansion"
    paths = _values([redirect.target])
    if paths is None or any(path.globbed for path in paths):
        return "it writes to a file that is known only when it runs"
    return next(filter(None, (judge_own_file(one.text, context) for one in paths if one.text != "/dev/null")), "")


def _judge_uv(words: list[str], context: CommandContext) -> str:
    """Allow uv run of a program that may run by itself, uv pip, and what only changes the environment."""
    rest = [word for word in words[1:] if word not in _UV_OPTIONS]
    command = rest[0] if rest else ""
    if command == "pip":
        return judge_pip(["uv pip", *rest[1:]], context)
    if command == "run" and len(rest) > 1 and not rest[1].startswith("-"):
        inner = rest[2:] if rest[1] == "--" else rest[1:]
        is_script = inner[0].endswith(".py")
        return _judge_program([ShellWord(word) for word in (["python", *inner] if is_script else inner)], context)
    if command in {"sync", "tree", "lock", "version"} and len(rest) == 1:
        return ""
    if command == "venv" and len(rest) <= 2:
        return next(filter(None, (judge_own_file(word, context) for word in rest[1:])), "")
    return f"uv {command} can install and run code from elsewhere"


_PROGRAMS: dict[str, Callable[[list[str], CommandContext], str]] = {
    "python": judge_python,
    "git": judge_git,
    **dict.fromkeys(("bash", "sh", "node", "perl", "ruby", "Rscript", "julia"), judge_shell),
    **dict.fromkeys(_LAUNCHERS, judge_launcher),
    **dict.fromkeys(_CHECKERS, judge_checker),
    **dict.fromkeys(("mkdir", "touch", "tee"), judge_writer),
    **dict.fromkeys(("cp", "mv"), judge_copy),
    "chmod": judge_mode,
    "tar": judge_tar,
    "unzip": judge_unzip,
    "find": judge_find,
    "xargs": judge_xargs,
    "printenv": judge_printenv,
    "pip": judge_pip,
    "uv": _judge_uv,
}
_READERS = {name for name, one in READ_ONLY_PROGRAMS.items() if name not in _PROGRAMS and not one.needs_option}
_KNOWN_EFFECTS = _READERS | words("[ [[ : mkdir touch tee cp mv chmod")
"""The programs that run no code, whatever their arguments are."""
