"""Commands that are denied in every mode, such as reading credentials, damaging the system or running downloads.

DENIED is the table of reasons and the checks that detect them in an invocation.
"""

import posixpath
import re
from collections.abc import Callable

from ml_intern.safety.files.written import written_words
from ml_intern.safety.shell.credentials import (
    find_credential,
    find_own_path,
    find_reached_credential,
    hands_on_credential,
    invocation_paths,
    is_own_work,
)
from ml_intern.safety.shell.exfiltration import is_exfiltration, is_tunnel, redirects_endpoint, rewrites_remote
from ml_intern.safety.shell.invocations import INTERPRETERS, SHELLS, Invocation, ParsedCommand, resolve_paths
from ml_intern.safety.shell.paths import (
    CommandContext,
    contains_any,
    is_container_socket,
    is_disk,
    is_persistence,
    is_system,
)
from ml_intern.safety.shell.programs import find_folders
from ml_intern.text.word_table import words

Check = Callable[[ParsedCommand, Invocation], bool]

_DOWNLOADERS = words("curl wget wget2 fetch aria2c http https xh lynx links w3m nc ncat netcat socat ftp scp rsync")
_TOKEN_PRINTERS = re.compile(
    r"(?:hf|huggingface-cli) auth token|gh auth (?:token|status .*(?:-t|--show-token))|gcloud auth "
    r"(?:application-default )?print-(?:access|identity)-token|"
    r"git credential(?:-\w+)? (?:fill|get)|aws (?:configure (?:get|export-credentials)|sts get-session-token|ecr "
    r"get-login-password)|"
    r"az account get-access-token|security (?:find|dump)-|secret-tool (?:lookup|search)|pass (?:show|-c)|op (?:read|"
    r"item get)|bw get|"
    r"gpg .*--export-secret|keyring get|kubectl config view .*--raw|wandb (?:login --relogin)"
)
# Programs that show or search for their arguments and do not run them.
_DATA = words("echo printf grep egrep fgrep rg ag ack git ssh cat head tail wc ls hf gh")
_STARTERS = words("enable link edit load bootstrap")
_PROCESS_FINDERS = frozenset({"ps", "pgrep", "pidof", "grep", "top", "nvidia-smi"})
_KILLERS = frozenset({"pkill", "killall", "killall5", "skill", "slay", "xkill"})
_POWER = frozenset({"shutdown", "reboot", "poweroff", "halt", "telinit"})
_KERNEL_FILES = re.compile(r"/proc/sysrq-trigger|/proc/sys/.+|/sys/(?:power|kernel|module)/.+")
_SCHEDULERS = frozenset({"crontab", "at", "batch"})
_DISK_QUERIES = words(
    "ls stat lsblk df findmnt blkid smartctl nvme mount umount file udevadm realpath readlink fuser lsof"
)
_TREE_COPIERS = words("cp tar rsync scp zip 7z ln")
_DISK_TOOLS = re.compile(
    r"(?:mkfs(?:\..+)?|mke2fs|mkswap|fdisk|sfdisk|cfdisk|gdisk|sgdisk|parted|wipefs|blkdiscard|"
    r"hdparm|cryptsetup|zpool|lvremove|vgremove|pvremove|mdadm)\Z"
)
_REMOVERS = frozenset({"rm", "rmdir", "unlink", "shred", "srm", "trash", "mv", "truncate", "wipe"})
_CHANGERS = frozenset({"chmod", "chown", "chgrp", "setfacl", "chattr"})
_RECURSIVE_SEARCH = frozenset({"grep", "egrep", "fgrep", "rg", "ag", "ack"})
_KERNEL = words(
    "insmod modprobe rmmod kexec sysctl iptables ip6tables nft ufw setenforce swapoff visudo usermod useradd passwd "
    "chpasswd userdel nsenter"
)
_REMOVAL_IN_CODE = re.compile(
    r"(?:rmtree|unlink(?:Sync)?|rmSync|rmdir(?:Sync)?|remove)\(\s*[\"'](?:/|~)[\"']|"
    r"rmtree\([^)]*(?:expanduser|Path\.home)|rm\s+-[rf]+\s+[/~]"
)
_DOWNLOAD_IN_CODE = re.compile(
    r"(?:curl|wget)\b[^\n|;]{0,300}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b|(?:exec|"
    r"eval)\([^\n]{0,80}(?:urlopen|requests\.get|urlretrieve)"
)
_REVERSE_SHELL = re.compile(
    r"/dev/(?:tcp|udp)/|pty\.spawn\(|fsockopen\(|socket\.socket\([^\n]{0,200}(?:dup2|subprocess)"
)
_FORKS_IN_CODE = re.compile(r"fork\s+while\s+fork|while\s*\(?(?:True|1)\)?\s*[:{]\s*(?:os\.)?fork")
_FORK_BOMB = re.compile(
    r"(?<![:\w.])([:\w.]{1,32})\s{0,3}\(\s{0,3}\)\s{0,3}\{[^}]{0,200}?(?<![:\w.])\1\s{0,3}\|\s{0,3}\1\s{0,3}&"
)


def _reads_credentials(parsed: ParsedCommand, one: Invocation) -> bool:
    return (
        bool(find_credential(one, parsed.context))
        or hands_on_credential(parsed, one)
        or _TOKEN_PRINTERS.match(" ".join((one.name, *one.arguments))) is not None
    )


def _searches_home(parsed: ParsedCommand, one: Invocation) -> bool:
    if one.name in _TREE_COPIERS:
        return _copies_home(parsed, one)
    if one.name == "find":
        return _passes_on(parsed, one) and bool(find_reached_credential(one, parsed.context))
    if one.name not in _RECURSIVE_SEARCH or not (one.name in {"rg", "ag", "ack"} or one.has("rR", "recursive")):
        return False
    roots = {parsed.context.home, "/", "/home", "/root", "/etc", "/proc"}
    return any(path in roots for word in one.operands[1:] for path in resolve_paths(one, word, parsed.context))


def _copies_home(parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether it copies or packs the home folder or the system, credentials included, or links to the home."""
    if one.name == "tar" and not (
        one.arguments and re.match(r"-?[a-zA-Z]*[cru]|--(?:create|append|update)", one.arguments[0])
    ):
        return False
    if one.name == "cp" and not one.has("raR", "recursive", "archive"):
        return False
    sources = one.operands[:-1] if one.name in {"cp", "rsync", "scp", "ln"} and len(one.operands) > 1 else one.operands
    system = () if one.name == "ln" else ("/", "/home", "/root", "/etc")
    roots = {parsed.context.home, *system}
    return any(path in roots for word in sources for path in resolve_paths(one, word, parsed.context))


def _passes_on(parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether another program gets what find finds."""
    if one.command.host >= 0 or any(word.startswith(("-exec", "-ok")) for word in one.arguments):
        return True
    others = (other for other in parsed.invocations if other.command.pipeline == one.command.pipeline != -1)
    return any(other.name in {"xargs", "while", "read", "parallel"} for other in others)


def _resets_device(_parsed: ParsedCommand, one: Invocation) -> bool:
    if one.name == "nvidia-smi":
        return one.has("r", "gpu-reset") or "-r" in one.arguments
    if one.name == "amd-smi":
        return "reset" in one.arguments[:1]
    return (one.name == "rocm-smi" and one.has("", "gpureset")) or (one.name == "xpu-smi" and one.has("", "reset"))


def _runs_by_transport(_parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether git would run a program that a repository address or a protocol setting names."""
    if one.name != "git":
        return False
    return any(re.match(r"(?:[\w.-]+=)?(?:ext|fd)::|protocol\.(?:ext|fd|allow)", word) for word in one.arguments)


def _touches_own_home(parsed: ParsedCommand, one: Invocation) -> bool:
    if one.name == "ml-intern" and ("approve" in one.arguments or one.has("y", "yolo", "approval-mode")):
        return True
    names = {name for name, _ in one.assignments}
    return bool(find_own_path(one, parsed.context)) or not names.isdisjoint({"ML_INTERN_HOME", "ML_INTERN_CLI_CONFIG"})


def _ruins_folders(parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether it removes or changes the home folder, parents of the workspace, or the system."""
    is_recursive = one.name in _CHANGERS and one.has("R", "recursive")
    is_data = one.name in _DATA and "rebase" not in one.arguments
    if not is_data and any(_REMOVAL_IN_CODE.search(word) for word in one.arguments if " " in word):
        return True
    is_find = one.name == "find" and ("-delete" in one.arguments or not _REMOVERS.isdisjoint(one.arguments))
    is_remover = one.name in _REMOVERS or (one.name.startswith("$") and one.has("rf"))
    if not is_remover and not is_recursive and not is_find:
        return False
    if one.has("", "no-preserve-root"):
        return True
    words = one.operands[:-1] if one.name == "mv" else find_folders(one.arguments) if is_find else one.operands
    return any(_is_vital(parsed, one, word) for word in (*words, *_listed(parsed, one)))


def _listed(parsed: ParsedCommand, one: Invocation) -> tuple[str, ...]:
    """Return the folders whose entries xargs gets from a listing without a pattern."""
    listings = (other for other in parsed.upstream(one) if other.name == "ls") if "xargs" in one.wrappers else ()
    return tuple(f"{folder.rstrip('/')}/*" for other in listings for folder in other.operands or (".",))


def _is_vital(parsed: ParsedCommand, one: Invocation, word: str) -> bool:
    context = parsed.context
    base = re.sub(r"/+(?:\*\*?|\.\*|\.\[[^/]*)?\Z", "", word) or "/"
    base = re.sub(r"\A~[\w-]+(?=/|\Z)", context.home, base)
    if _is_whole_workspace(word, base, one, context):
        return True
    for path in resolve_paths(one, base, context):
        if any(
            context.resolve(path) == root or path.startswith(root.rstrip("/") + "/")
            for root in (context.workspace, *context.add_dirs)
        ):
            continue
        if is_system(path) or contains_any(path, (context.home, context.workspace, "/root", "/home")):
            return True
    return False


def _is_whole_workspace(word: str, base: str, one: Invocation, context: CommandContext) -> bool:
    """Return whether removing a word would remove the workspace or everything in it."""
    if one.name not in _REMOVERS - {"mv"} or not one.has("rR", "recursive"):
        return False
    everything = "." if word in {"*", ".*", "**"} else base
    folders = {context.resolve(context.absolute(everything, folder)) for folder in one.folders[-1:]}
    return not folders.isdisjoint({context.workspace, context.resolve(context.workspace)})


def _writes_persistence(parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether it makes programs run later or grants logins: cron, shell startup files, services."""
    if one.name in _SCHEDULERS and "-l" not in one.arguments:
        return True
    if one.name in {"systemctl", "launchctl"} and not _STARTERS.isdisjoint(one.arguments):
        return True
    written = [*written_words(one, parsed), *(one.operands if one.name in _REMOVERS else ())]
    paths = (path for word in written for path in resolve_paths(one, word, parsed.context))
    return any(is_persistence(path) and not is_own_work(path, parsed.context) for path in paths)


def _uses_disk(parsed: ParsedCommand, one: Invocation) -> bool:
    if _DISK_TOOLS.match(one.name) and "-l" not in one.arguments:
        return True
    redirected = (
        path for each in one.command.redirects for path in resolve_paths(one, each.target.text, parsed.context)
    )
    named = invocation_paths(one, parsed.context) if one.name not in _DISK_QUERIES else ()
    return any(is_disk(path) for path in (*redirected, *named))


def _writes_kernel(parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether it writes a file that sets an option of the kernel, or restarts the machine."""
    paths = (path for word in written_words(one, parsed) for path in resolve_paths(one, word, parsed.context))
    return any(_KERNEL_FILES.fullmatch(path) for path in paths)


def _forks_forever(_parsed: ParsedCommand, one: Invocation) -> bool:
    return _FORKS_IN_CODE.search(one.code) is not None


def _defines_fork_bomb(parsed: ParsedCommand) -> bool:
    calls = (
        re.search(rf"(?<![\w.]){re.escape(name)}\s*(?:\||&)", body)
        for shell in parsed.shells
        for name, body in shell.functions
    )
    return any(calls) or _FORK_BOMB.search(parsed.text) is not None


def _kills(parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether it stops processes it did not start: by name, all processes, or its parent."""
    if one.name in _KILLERS or one.name in _POWER:
        return True
    if one.name == "kill":
        named = [other for other in parsed.invocations if other.name in _PROCESS_FINDERS and _feeds(parsed, other, one)]
        return bool(named) or any(_is_foreign_process(word) for word in _targets_of_kill(one.arguments))
    if one.name in {"fuser", "tmux"}:
        return (one.name == "fuser" and one.has("k", "kill")) or "kill-server" in one.arguments
    return (one.name == "init" and bool({"0", "6"} & set(one.arguments))) or (
        one.name == "systemctl"
        and bool({"stop", "disable", "mask", "poweroff", "reboot", "halt", "kill"} & set(one.arguments))
    )


def _feeds(parsed: ParsedCommand, other: Invocation, one: Invocation) -> bool:
    """Return whether `other` is before `one` in its pipeline or inside one of its words."""
    return other in parsed.upstream(one) or (other.command.host >= 0 and one in _hosts(parsed, other))


def _targets_of_kill(arguments: tuple[str, ...]) -> list[str]:
    signalled = [word for word in arguments if not re.match(r"-(?:[A-Z]|\d+\Z(?<!-1))|-[sln]\Z|--\Z", word)]
    numeric = [word for word in arguments if word == "-1"]
    return signalled + (numeric if arguments[:1] != ("-1",) or "--" in arguments else [])


def _is_foreign_process(word: str) -> bool:
    return word in {"0", "1", "-1", "$PPID"} or "PPID" in word


def _opens_container_engine(parsed: ParsedCommand, one: Invocation) -> bool:
    words = [*one.arguments, *(redirect.target.text for redirect in one.command.redirects)]
    if any(is_container_socket(part) for word in words for part in re.split(r"[=:,]", word)):
        return True
    if one.name not in {"docker", "podman", "nerdctl"}:
        return False
    mounts = re.search(
        r"(?:-v|--volume|--mount)[= ](?:\S*(?:source|src)=)?(?:/|~|/(?:etc|root|home|var|proc|sys|"
        r"dev)/?)(?=[:,\s])",
        " ".join(one.arguments),
    )
    return (
        one.has("", "privileged")
        or mounts is not None
        or "--pid=host" in one.arguments
        or parsed.context.home + ":" in " ".join(one.arguments)
    )


def _runs_download(parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether a shell or an interpreter directly runs downloaded or decoded text."""
    if _DOWNLOAD_IN_CODE.search(one.code):
        return True
    if _reads_program_from_stdin(one):
        fed_by = [one, *_hosts(parsed, one)] if one.command.host >= 0 else [one]
        if any(_is_source(other) for fed in fed_by for other in parsed.upstream(fed)):
            return True
    if not _is_source(one) or one.command.host < 0:
        return False
    if one.command.names_command or any(host.name.startswith("$(") for host in _hosts(parsed, one)):
        return True
    return any(
        host.name in SHELLS | INTERPRETERS | {"eval", "source", "."}
        and (host.name not in INTERPRETERS or not host.code or "$(...)" in host.code)
        for host in _hosts(parsed, one)
    )


def _hosts(parsed: ParsedCommand, one: Invocation) -> list[Invocation]:
    """Return the command, with its wrappers, whose word contains this one."""
    for shell in parsed.shells:
        if any(command is one.command for command in shell.commands):
            host = shell.commands[one.command.host]
            return [other for other in parsed.invocations if other.command is host]
    return []


def _is_source(one: Invocation) -> bool:
    if one.name in _DOWNLOADERS:
        return True
    if one.name in {"base64", "base32", "gbase64"}:
        return one.has("dD", "decode")
    return (one.name == "xxd" and one.has("r")) or (one.name == "openssl" and one.has("d")) or (one.name == "uudecode")


def _reads_program_from_stdin(one: Invocation) -> bool:
    base = re.sub(r"[0-9.]+\Z", "", one.name)
    if one.name in {"source", "."}:
        return bool({"/dev/stdin", "/proc/self/fd/0", "-"} & set(one.arguments))
    if base in SHELLS and "xargs" in one.wrappers and one.arguments[-1:] in {("-c",), ("-lc",)}:
        return True
    if base in SHELLS:
        return not one.has("c") and (not one.operands or one.has("s") or one.operands[0] in {"-", "/dev/stdin"})
    return (
        base in INTERPRETERS
        and not one.code
        and not one.has("mce")
        and (not one.operands or one.operands[0] in {"-", "/dev/stdin"})
    )


def _changes_kernel(_parsed: ParsedCommand, one: Invocation) -> bool:
    if one.name == "sysctl":
        return one.has("wp", "write", "load")
    if one.name in {"iptables", "ip6tables", "nft", "ufw"}:
        return not one.has("LS", "list") and not {"list", "status"} & set(one.arguments)
    return one.name in _KERNEL


def _opens_notebook(_parsed: ParsedCommand, one: Invocation) -> bool:
    """Return whether it starts a notebook server without a token, which gives everyone a shell."""
    if not one.name.startswith("jupyter") and "jupyter" not in one.arguments and "notebook" not in one.arguments:
        return False
    return any(re.fullmatch(r"--\w+\.(?:token|password)=[\"']?[\"']?", word) for word in one.arguments)


def _reverse_shell(_parsed: ParsedCommand, one: Invocation) -> bool:
    words = [*one.arguments, *(redirect.target.text for redirect in one.command.redirects), one.code]
    return any(
        _REVERSE_SHELL.search(word)
        for word in words
        if one.name not in {"echo", "printf", "grep", "rg"} or word.startswith("/dev/")
    )


DENIED: tuple[tuple[str, Check], ...] = (
    ("reads credentials", _reads_credentials),
    ("searches the home folder or the system for secrets", _searches_home),
    ("accesses ml-intern's own data or approvals", _touches_own_home),
    ("removes or changes the home folder, the system or a parent of the workspace", _ruins_folders),
    ("installs a persistent program or changes logins", _writes_persistence),
    ("reads or writes a disk device", _uses_disk),
    ("restarts the machine or sets an option of the kernel", _writes_kernel),
    ("makes git run the program in a repository address", _runs_by_transport),
    ("resets a GPU, which ends the work of others on it", _resets_device),
    ("is a fork bomb", _forks_forever),
    ("stops processes it did not start, or the machine", _kills),
    ("controls a container engine, which gives root access", _opens_container_engine),
    ("runs downloaded or decoded code without review", _runs_download),
    ("changes the kernel, the firewall or accounts", _changes_kernel),
    ("opens a notebook server without a token", _opens_notebook),
    ("opens a shell on the network", _reverse_shell),
    ("opens a tunnel", is_tunnel),
    ("redirects credentials to another host", redirects_endpoint),
    ("sends secrets to another host", is_exfiltration),
    ("rewrites or deletes data on a remote", rewrites_remote),
)


def denial_reason(parsed: ParsedCommand) -> str:
    """Return why this command is denied in every mode, or ""."""
    if parsed.invocations and _defines_fork_bomb(parsed):
        return "it is a fork bomb"
    for one in parsed.invocations:
        for reason, check in DENIED:
            if check(parsed, one):
                return f"{posixpath.basename(one.name) or 'it'} {reason}"
    return ""
