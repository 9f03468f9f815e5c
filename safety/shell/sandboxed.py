"""The check of commands that run unasked in the OS sandbox: the project's own code and writes in the workspace."""

import posixpath
import re
from collections.abc import Callable

from ml_intern.safety.shell.invocations import ParsedCommand
from ml_intern.safety.shell.options import NotReadOnly, ReadOnly, split
from ml_intern.safety.shell.paths import CommandContext, is_project_secret, is_protected_in_workspace
from ml_intern.safety.shell.readers import READ_ONLY_PROGRAMS
from ml_intern.safety.shell.reading import find_command_problem
from ml_intern.safety.shell.tree import PLAIN_KINDS, Redirect, ShellCommand, ShellWord
from ml_intern.safety.shell.words import PlainWord
from ml_intern.text.word_table import words

SANDBOXED_KINDS = PLAIN_KINDS | words(
    "variable_assignment variable_name = >> >| < <> heredoc_redirect heredoc_start heredoc_body heredoc_end "
    "heredoc_content << declaration_command declare export ansi_c_string"
)
_HARMLESS_VARIABLE = re.compile(
    r"(?:CUDA_(?:VISIBLE_DEVICES|LAUNCH_BLOCKING|DEVICE_ORDER)|OMP_NUM_THREADS|MKL_NUM_THREADS|TOKENIZERS_PARALLELISM|"
    r"NCCL_DEBUG|"
    r"PYTHON(?:UNBUFFERED|HASHSEED|DONTWRITEBYTECODE|FAULTHANDLER)|(?:HF_(?:HUB|DATASETS)|TRANSFORMERS)_OFFLINE|"
    r"WANDB_(?:MODE|DISABLED|SILENT)|"
    r"PYTORCH_CUDA_ALLOC_CONF|TF_CPP_MIN_LOG_LEVEL|LC_\w+|LANG|TZ|NO_COLOR|COLUMNS|SEED|RANK|WORLD_SIZE|LOCAL_RANK|"
    r"MASTER_PORT)\Z"
)
_OUTWARD_WORD = re.compile(
    r"(?i)trust_remote_code|push_to_hub|push_in_progress|hub_model_id|0\.0\.0\.0|"
    r"report_to\W+(?:all|wandb|comet)"
)
_SECRET_NAME = re.compile(r"(?:TOKEN|API_KEY|SECRET|PASSWORD)\b|environ")
_RISKY_MODULES = words("http.server pip ensurepip venv webbrowser smtpd ftplib smtplib pydoc idlelib uv twine site")
_RISKY_TARGET = re.compile(r"(?i)install|deploy|publish|push|release|upload|clean|purge|reset")
_LAUNCHERS = frozenset({"torchrun", "accelerate", "deepspeed"})
_CHECKERS = frozenset({"pytest", "py.test", "mypy", "pyright", "make", "ruff", "flake8", "pylint", "tox"})
_LISTINGS = frozenset(
    {("env",), ("printenv",), ("set",), ("declare", "-x"), ("declare", "-p"), ("export",), ("export", "-p"), ("jobs",)}
)

_SHOW = (
    "oneline stat shortstat numstat name-only name-status patch no-patch graph all decorate=? abbrev-commit "
    "max-count= since= until= "
    "author= grep= format= pretty=? date= cached staged word-diff=? color=? no-color reverse follow merges no-merges "
    "first-parent "
    "summary unified= ignore-all-space check quiet exit-code minimal histogram branch porcelain=? short long "
    "untracked-files=?"
)
GIT: dict[str, ReadOnly] = {
    "log": ReadOnly("pn:S:G:i", _SHOW, "text", number=True),
    "diff": ReadOnly("wbU:", _SHOW, "text"),
    "show": ReadOnly("psw", _SHOW, "text"),
    "status": ReadOnly("sbuv", _SHOW, "text"),
    "blame": ReadOnly("wL:s", "date=", "text"),
    "shortlog": ReadOnly("sne", "", "text"),
    "rev-parse": ReadOnly("", "short=? abbrev-ref show-toplevel verify is-inside-work-tree", "text"),
    "ls-files": ReadOnly("comst", "others modified cached exclude-standard", "text"),
    "branch": ReadOnly("avr", "list all show-current", "none"),
    "remote": ReadOnly("v", "", "none"),
    "describe": ReadOnly("", "tags always dirty long", "text"),
    "add": ReadOnly("Aunv", "all update intent-to-add", "paths"),
    "commit": ReadOnly("aqvm:", "all message= quiet verbose allow-empty signoff", "none"),
}
"""git commands allowed in the sandbox, where .git/hooks and .git/config are read-only and pushing is impossible."""


def find_sandbox_problem(parsed: ParsedCommand) -> str:
    """Return "" if every command may run unasked in the sandbox, else the problem."""
    shell = parsed.shells[0]
    if shell.has_error or not shell.kinds <= SANDBOXED_KINDS or "&" in shell.kinds:
        return "it uses shell syntax that is not allowed unasked"
    for command in shell.commands:
        if reason := _judge(command, parsed):
            return reason
    return ""


def _judge(command: ShellCommand, parsed: ParsedCommand) -> str:
    words = list(command.words)
    values = [value for _, value in command.assignments]
    if not all(word.literal for word in (*words, *values)):
        return "it uses an expansion"
    if foreign := next((name for name, _ in command.assignments if not _HARMLESS_VARIABLE.match(name)), ""):
        return f"it sets the variable {foreign}"
    if reason := next(filter(None, (_judge_redirect(one, parsed.context) for one in command.redirects)), ""):
        return reason
    if not words or tuple(word.text for word in words) in _LISTINGS:
        return "" if words or command.assignments else "it contains no command"
    if words[0].text == "cd":
        return "it changes the folder"
    return _judge_program(words, parsed)


def _judge_program(words: list[ShellWord], parsed: ParsedCommand) -> str:
    context, texts = parsed.context, [word.text for word in words]
    if found := next((match for text in texts if (match := _OUTWARD_WORD.search(text))), None):
        return f"{found.group()} has effects outside the sandbox"
    plain = [PlainWord(word.text, word.globbed) for word in words]
    reading = find_command_problem(plain, context, frozenset({context.folder}))
    if not reading:
        return ""
    judge = _PROGRAMS.get(re.sub(r"[0-9.]+\Z", "", texts[0]), _judge_script)
    return judge(texts, context) if not words[0].globbed else reading


def _judge_redirect(redirect: Redirect, context: CommandContext) -> str:
    if redirect.operator in {">&", "<<"}:
        return "" if redirect.target.literal else "its here-document contains an expansion"
    if not redirect.target.literal or redirect.target.globbed:
        return "it redirects to a path that is not literal"
    path = redirect.target.text
    return "" if path == "/dev/null" else _judge_own_file(path, context)


def _judge_own_file(path: str, context: CommandContext) -> str:
    absolute = context.absolute(path, context.folder)
    if not context.is_inside(path, context.folder):
        return f"{path} is outside the workspace"
    if is_protected_in_workspace(absolute, context.workspace) or is_project_secret(absolute):
        return f"{path} controls other programs or contains secrets"
    return ""


def _judge_script(words: list[str], context: CommandContext) -> str:
    """Allow a program of the workspace given with its folder, such as ./run.sh."""
    if "/" not in words[0]:
        return f"no rule allows {words[0]}, and it is not among the programs that run unasked in the sandbox"
    if posixpath.basename(words[0]) in READ_ONLY_PROGRAMS:
        return f"{words[0]} has the name of a system program"
    return _judge_own_file(words[0], context)


def _judge_python(words: list[str], context: CommandContext) -> str:
    position = 1
    while position < len(words) and words[position] in {"-u", "-B", "-O", "-I", "-s", "-E"}:
        position += 1
    rest = words[position:]
    if rest[:1] == ["-m"]:
        module = rest[1] if len(rest) > 1 else ""
        return (
            f"it runs the module {module or '(none given)'}"
            if not module or module.split(".")[0] in _RISKY_MODULES or module in _RISKY_MODULES
            else ""
        )
    if rest[:1] == ["-c"]:
        code = rest[1] if len(rest) > 1 else ""
        return "its code refers to secrets" if _SECRET_NAME.search(code) else ""
    return _judge_own_file(rest[0], context) if rest and not rest[0].startswith("-") else "no script file is given"


def _judge_shell(words: list[str], context: CommandContext) -> str:
    named = len(words) > 1 and not words[1].startswith("-")
    return _judge_own_file(words[1], context) if named else "a shell without a script"


def _judge_launcher(words: list[str], context: CommandContext) -> str:
    script = next((word for word in words[1:] if word.endswith(".py")), "")
    return _judge_own_file(script, context) if script else "no script file is given"


def _judge_checker(words: list[str], _place: CommandContext) -> str:
    risky = next((word for word in words[1:] if _RISKY_TARGET.search(word) or "://" in word), "")
    return f"{words[0]} {risky}" if risky else ""


def _judge_git(words: list[str], context: CommandContext) -> str:
    program = GIT.get(words[1]) if len(words) > 1 else None
    if program is None:
        return f"git {' '.join(words[1:2])}"
    try:
        found = split(program, words[2:])
    except NotReadOnly as reason:
        return f"git {words[1]} with {reason}"
    if program.operands == "none" and found.operands:
        return f"git {words[1]} with an operand"
    outside = (
        word for word in (words[2 + index] for index in found.operands) if not context.is_inside(word, context.folder)
    )
    return next((f"{word} is outside the workspace" for word in outside), "")


def _judge_writer(words: list[str], context: CommandContext) -> str:
    """Allow mkdir, touch and tee for files of the workspace."""
    allowed = {"mkdir": {"-p", "-v", "-pv"}, "touch": {"-c", "-a", "-m"}, "tee": {"-a"}}[words[0]]
    for word in words[1:]:
        if word.startswith("-") and word not in allowed:
            return f"{words[0]} {word}"
        if not word.startswith("-") and (reason := _judge_own_file(word, context)):
            return reason
    return ""


_PROGRAMS: dict[str, Callable[[list[str], CommandContext], str]] = {
    "python": _judge_python,
    "git": _judge_git,
    **dict.fromkeys(("bash", "sh", "node", "perl", "ruby", "Rscript", "julia"), _judge_shell),
    **dict.fromkeys(_LAUNCHERS, _judge_launcher),
    **dict.fromkeys(_CHECKERS, _judge_checker),
    **dict.fromkeys(("mkdir", "touch", "tee"), _judge_writer),
}
