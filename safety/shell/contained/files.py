"""Programs that change files, judged for the sandbox: cp, mv, mkdir, touch, tee, chmod, tar, unzip."""

import re

from ml_intern.safety.files.protected import Place, find_control
from ml_intern.safety.shell.paths import CommandContext, is_project_secret

_COPY_OPTION = re.compile(r"-[abdfinpPrRuvT]+|--(?:recursive|archive|force|no-clobber|update|verbose|parents)")
_MODE = re.compile(r"(?:[ugoa]*[+-][rwx]+|0?[0-7]{3})\Z")


def judge_own_file(path: str, context: CommandContext) -> str:
    """Allow an ordinary file of the workspace."""
    absolute = context.absolute(path, context.folder)
    if not context.is_inside(path, context.folder):
        return f"{path} is outside the workspace"
    if control := find_control(absolute, Place(context.workspace, context.add_dirs, context.files)):
        return control.reason
    return f"{path} usually contains secrets" if is_project_secret(absolute) else ""


def judge_writer(words: list[str], context: CommandContext) -> str:
    """Allow mkdir, touch and tee for files of the workspace."""
    allowed = {"mkdir": {"-p", "-v", "-pv"}, "touch": {"-c", "-a", "-m"}, "tee": {"-a"}}[words[0]]
    for word in words[1:]:
        if word.startswith("-") and word not in allowed:
            return f"{words[0]} {word} can do more than create files"
        if not word.startswith("-") and (reason := judge_own_file(word, context)):
            return reason
    return ""


def judge_copy(words: list[str], context: CommandContext) -> str:
    """Allow cp and mv from and to files of the workspace."""
    for word in words[1:]:
        if word.startswith("-"):
            if not _COPY_OPTION.fullmatch(word):
                return f"{words[0]} {word} can do more than copy"
        elif reason := judge_own_file(word, context):
            return reason
    return "" if words[0] == "cp" or not _moves_everything(words[1:], context) else "mv would move the whole workspace"


def _moves_everything(words: list[str], context: CommandContext) -> bool:
    return any(context.absolute(word, context.folder) == context.workspace for word in words[:-1])


def judge_mode(words: list[str], context: CommandContext) -> str:
    """Allow chmod of files of the workspace, without setuid bits."""
    if len(words) < 3 or not _MODE.match(words[1]):
        return "chmod can give a program the rights of another user"
    return next(filter(None, (judge_own_file(word, context) for word in words[2:])), "")


def judge_tar(words: list[str], context: CommandContext) -> str:
    """Allow packing and unpacking files of the workspace. The names in an archive are judged separately."""
    if len(words) < 2 or not re.fullmatch(r"-?(?=[a-zA-Z]*[cxt])[cxtvzjJaf]+", words[1]):
        return "tar with this option can start programs"
    operands = [word for word in words[2:] if word != "-C"]
    if option := next((word for word in operands if word.startswith("-") or ":" in word), ""):
        return f"tar {option} can start programs or write elsewhere"
    return next(filter(None, (judge_own_file(word, context) for word in operands)), "")


def judge_unzip(words: list[str], context: CommandContext) -> str:
    """Allow unpacking into the workspace. The names in the archive are judged separately."""
    option = next((word for word in words[1:] if word.startswith("-") and not re.fullmatch(r"-[oqnjd]+", word)), "")
    if option:
        return f"unzip {option} can write elsewhere"
    files = (word for word in words[1:] if not word.startswith("-"))
    return next(filter(None, (judge_own_file(word, context) for word in files)), "")
