"""git, find, xargs and printenv, judged for the sandbox."""

import re

from ml_intern.safety.shell.invocations import unwrapped_words
from ml_intern.safety.shell.options import NotReadOnly, ReadOnly, split
from ml_intern.safety.shell.paths import CommandContext, is_project_secret
from ml_intern.safety.shell.programs import check_find, find_folders
from ml_intern.safety.shell.reading import find_command_problem
from ml_intern.safety.shell.tree import ShellWord
from ml_intern.safety.shell.words import PlainWord
from ml_intern.text.word_table import words

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
HARMLESS_VARIABLE = re.compile(
    r"(?:CUDA_(?:VISIBLE_DEVICES|LAUNCH_BLOCKING|DEVICE_ORDER)|OMP_NUM_THREADS|MKL_NUM_THREADS|TOKENIZERS_PARALLELISM|"
    r"NCCL_DEBUG|"
    r"PYTHON(?:UNBUFFERED|HASHSEED|DONTWRITEBYTECODE|FAULTHANDLER)|(?:HF_(?:HUB|DATASETS)|TRANSFORMERS)_OFFLINE|"
    r"WANDB_(?:MODE|DISABLED|SILENT)|"
    r"PYTORCH_CUDA_ALLOC_CONF|TF_CPP_MIN_LOG_LEVEL|LC_\w+|LANG|TZ|NO_COLOR|COLUMNS|SEED|RANK|WORLD_SIZE|LOCAL_RANK|"
    r"MASTER_PORT)\Z"
)
SHOWN = re.compile(
    HARMLESS_VARIABLE.pattern + r"|PATH|HOME|PWD|OLDPWD|USER|SHELL|LANG|HOSTNAME|VIRTUAL_ENV|CONDA_PREFIX|CUDA_HOME|"
    r"HF_HOME|LD_LIBRARY_PATH|PYTHONPATH|TMPDIR|EPOCHSECONDS|RANDOM|SECONDS|\?|#"
)
_SAFE_FOR_ANY_FILE = words("echo wc basename dirname ls du stat md5sum sha256sum file realpath head tail grep cat sed")
_SHOWS_NAMES = words("echo wc basename dirname ls du stat md5sum sha256sum file realpath")


def judge_git(words: list[str], context: CommandContext) -> str:
    """Allow the commands of GIT, and creating a branch."""
    if words[1:] == ["stash", "list"] or (words[1:2] in (["checkout"], ["switch"]) and _creates_branch(words[2:])):
        return ""
    program = GIT.get(words[1]) if len(words) > 1 else None
    if program is None:
        return f"git {' '.join(words[1:2])} can change files, history or remotes"
    try:
        found = split(program, words[2:])
    except NotReadOnly as reason:
        return f"git {words[1]} with {reason} can do more than read"
    if program.operands == "none" and found.operands:
        return f"git {words[1]} with arguments can change branches, remotes or commits"
    for word in (words[2 + index] for index in found.operands):
        if not context.is_inside(word, context.folder):
            return f"{word} is outside the workspace"
        if is_project_secret(word.rpartition(":")[2]):
            return f"{word} usually contains secrets"
    return ""


def _creates_branch(words: list[str]) -> bool:
    return len(words) == 2 and words[0] in {"-b", "-c"} and re.fullmatch(r"[\w][\w./-]*", words[1]) is not None


def judge_find(words: list[str], context: CommandContext) -> str:
    """Allow find to start programs that only read, on files without secrets."""
    start = next((at for at, word in enumerate(words) if word in {"-exec", "-execdir"}), 0)
    if not start or len(words) < start + 3 or words[-1] not in {";", "+"} or words.count(words[start]) > 1:
        return "find can delete files or start programs"
    program, folders = words[start + 1], find_folders(words[1:]) or ["."]
    if problem := check_find(words[1:start]) or (
        "" if program in _SAFE_FOR_ANY_FILE else f"find would start {program}"
    ):
        return problem
    plain = [PlainWord(word) for word in words[start + 1 : -1] if word != "{}"]
    if reason := find_command_problem(plain, context, frozenset({context.folder})):
        return reason
    for folder in folders:
        if not context.is_inside(folder, context.folder):
            return f"{folder} is outside the workspace"
        files = context.files.below(context.absolute(folder, context.folder))
        if program not in _SHOWS_NAMES and (files is None or any(map(is_project_secret, files))):
            return f"{program} may print files with secrets below {folder}"
    return ""


def judge_xargs(words: list[str], _context: CommandContext) -> str:
    """Allow programs that print names, sizes or counts, since the files are known only when it runs."""
    rest = unwrapped_words("xargs", tuple(ShellWord(word) for word in words[1:]))
    if any("=" in word for word in words[1 : len(words) - len(rest)]):
        return "a variable can change what the program does"
    name = rest[0].text if rest else "echo"
    return "" if name in _SHOWS_NAMES else f"{name} would get files that are known only when it runs"


def judge_printenv(words: list[str], _context: CommandContext) -> str:
    """Allow variables that contain no secrets."""
    hidden = next((word for word in words[1:] if not SHOWN.fullmatch(word)), "")
    return f"printenv {hidden} may print a secret" if hidden or len(words) == 1 else ""
