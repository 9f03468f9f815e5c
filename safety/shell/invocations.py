"""The programs that a command would start, including those run by sudo, env, xargs, timeout, sh -c and eval."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ml_intern.safety.shell.paths import CommandContext
from ml_intern.safety.shell.tree import Shell, ShellCommand, ShellWord, parse, unescaped
from ml_intern.text.word_table import words

SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "rbash"})
INTERPRETERS = words(
    "python python2 python3 pypy3 ipython perl ruby node nodejs php lua deno bun osascript pwsh Rscript"
)
MAX_INVOCATIONS = 500
"""Most programs that a command may start; larger commands are denied."""
_MAX_DEPTH = 4
_MAX_FOLDERS = 6
_MAX_WRAPPERS = 8

# Programs that start another one: the number of operands before the command, and the options that take a value.
_WRAPPER_LINES = """
sudo 0 -u -g -h -p -C -r -t -U -D -T --user --group
doas 0 -u -C
env 0 -u -C --unset --chdir
timeout 1 -s -k --signal --kill-after
nice 0 -n --adjustment
ionice 0 -c -n -p
stdbuf 0 -i -o -e
time 0 -f -o
exec 0 -a
xargs 0 -I -i -n -P -L -d -a -s -E --max-args --max-procs --delimiter
parallel 0 -j -n -N -I --jobs
watch 0 -n -d --interval
nsenter 0 -t -S -G
strace 0 -o -e -p -s -u
ltrace 0 -o -e -p
flock 1 -w -E
systemd-run 0 -p -u --unit
srun 0 -n -N -p -t
proxychains 0 -f
xvfb-run 0 -s -n
"""
_PLAIN_WRAPPERS = words(
    "nohup setsid command builtin unshare numactl firejail busybox toybox rlwrap catchsegv prlimit unbuffer caffeinate "
    "coproc torsocks dbus-run-session run-parts then do else"
)
_ONE_OPERAND_WRAPPERS = words("chroot taskset chrt setarch")
WRAPPERS: dict[str, tuple[frozenset[str], int]] = {
    **{
        line.split()[0]: (frozenset(line.split()[2:]), int(line.split()[1]))
        for line in _WRAPPER_LINES.split("\n")
        if line
    },
    **dict.fromkeys(_PLAIN_WRAPPERS, (frozenset[str](), 0)),
    **dict.fromkeys(_ONE_OPERAND_WRAPPERS, (frozenset[str](), 1)),
}
_RUNNERS = words("uv poetry pipenv conda mamba micromamba pixi hatch pdm rye")
_RUN_VARIABLES = words(
    "PROMPT_COMMAND PAGER GIT_PAGER MANPAGER EDITOR VISUAL GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_SSH_COMMAND GIT_SSH "
    "GIT_EXTERNAL_DIFF GIT_ASKPASS SSH_ASKPASS LESSOPEN LESSCLOSE BROWSER"
)
"""Variables whose value programs run."""
_GIT_OPTION = re.compile(
    r"--(?:upload-pack|receive-pack|exec|extcmd|open-files-in-pager|(?:tree|index|msg|env|commit|parent|tag-name)-filter)"
    r"(?:=(.*))?",
    re.DOTALL,
)
_GIT_SETTING = re.compile(
    r"(?i)(?:alias\..*|.*(?:command|pager|editor|fsmonitor|textconv|external|helper|clean|smudge|process|program|cmd))"
    r"=!?(.*)",
    re.DOTALL,
)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_CODE_OPTIONS = {
    "-c": SHELLS | {"su", "script", "runuser", "flock"} | INTERPRETERS,
    "-e": INTERPRETERS,
    "-r": frozenset({"php"}),
    "-E": frozenset({"perl"}),
}


@dataclass(frozen=True)
class Invocation:
    """One program that would be started, directly or by a wrapper."""

    name: str
    words: tuple[ShellWord, ...]
    """The words after the name."""
    command: ShellCommand
    assignments: tuple[tuple[str, ShellWord], ...] = ()
    wrappers: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    """The folders in which it may run, depending on earlier cd commands."""
    code: str = ""
    """Inline source code for an interpreter other than a shell."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return the texts of the words after the name."""
        return tuple(word.text for word in self.words)

    @property
    def options(self) -> tuple[str, ...]:
        """Return the arguments that begin with a dash."""
        return tuple(word for word in self.arguments if word.startswith("-") and word != "-")

    @property
    def operands(self) -> tuple[str, ...]:
        """Return the arguments that do not begin with a dash."""
        return tuple(word for word in self.arguments if not word.startswith("-") or word == "-")

    def has(self, letters: str, *names: str) -> bool:
        """Return whether the options include one of the short letters (also in clusters) or long names."""
        for option in self.options:
            if option.startswith("--"):
                if option[2:].split("=", 1)[0] in names:
                    return True
            elif any(letter in option[1:] for letter in letters):
                return True
        return False


@dataclass
class ParsedCommand:
    """A command and everything it would start, including nested commands."""

    text: str
    context: CommandContext
    shells: list[Shell] = field(default_factory=list[Shell])
    invocations: list[Invocation] = field(default_factory=list[Invocation])

    def upstream(self, invocation: Invocation) -> Iterator[Invocation]:
        """Yield the invocations before this one in its pipeline."""
        for other in self.invocations:
            if other.command is invocation.command:
                return
            if other.command.pipeline == invocation.command.pipeline != -1:
                yield other

    def has_downstream(self, invocation: Invocation) -> bool:
        """Return whether another command gets the output of this one in its pipeline."""
        return any(
            invocation.command.pipeline == other.command.pipeline != -1 and invocation in self.upstream(other)
            for other in self.invocations
        )


def parse_command(text: str, context: CommandContext) -> ParsedCommand:
    """Parse a command and collect the programs that it would start."""
    parsed = ParsedCommand(text, context)
    _add(parsed, text, (context.folder,), 0)
    return parsed


def _add(parsed: ParsedCommand, text: str, folders: tuple[str, ...], depth: int) -> None:
    context = parsed.context
    shell = parse(text, {"HOME": context.home, "PWD": context.folder, "HF_HOME": f"{context.home}/.cache/huggingface"})
    parsed.shells.append(shell)
    for command in shell.commands:
        for invocation in _unwrap(command, folders):
            if len(parsed.invocations) > MAX_INVOCATIONS:
                return
            parsed.invocations.append(invocation)
            if invocation.name == "cd" or (invocation.name == "pushd" and invocation.operands):
                entered = (*invocation.operands, context.home)[0]
                moved = tuple(context.absolute(entered, folder) for folder in folders)
                folders = tuple(dict.fromkeys((*folders, *moved)))[-_MAX_FOLDERS:]
            inner_texts = [*_inner_texts(invocation), *_piped_texts(parsed, invocation)]
            for inner in inner_texts if depth < _MAX_DEPTH else ():
                _add(parsed, inner, folders, depth + 1)


def _unwrap(command: ShellCommand, folders: tuple[str, ...]) -> Iterator[Invocation]:
    """Yield the invocation of a command, and those of the programs that it starts as a wrapper."""
    pending = [(command.words, command.assignments, tuple[str, ...]())]
    while pending:
        words, assignments, wrappers = pending.pop(0)
        name = words[0].text.rsplit("/", 1)[-1].strip() if words else ""
        yield Invocation(name, words[1:], command, assignments, wrappers, folders, _code(name, words[1:], command))
        started = _found_commands(words[1:]) if name == "find" else [unwrapped_words(name, words[1:])]
        for rest in started if len(wrappers) <= _MAX_WRAPPERS else ():
            if rest:
                given = assignments + _assigned(words[1 : len(words) - len(rest)])
                pending.append((rest, given, (*wrappers, name)))


def _assigned(words: tuple[ShellWord, ...]) -> tuple[tuple[str, ShellWord], ...]:
    parts = (word.text.split("=", 1) for word in words if _ASSIGNMENT.match(word.text))
    return tuple((name, ShellWord(value)) for name, value in parts)


def _found_commands(words: tuple[ShellWord, ...]) -> list[tuple[ShellWord, ...]]:
    """Return the commands that find starts, without the ; or + after them."""
    found: list[tuple[ShellWord, ...]] = []
    texts = [word.text for word in words]
    for start in (index + 1 for index, text in enumerate(texts) if text in {"-exec", "-execdir", "-ok", "-okdir"}):
        ends = (index for index in range(start, len(texts)) if texts[index] in {";", "+"})
        found.append(words[start : next(ends, len(texts))])
    return found


def unwrapped_words(name: str, words: tuple[ShellWord, ...]) -> tuple[ShellWord, ...]:
    """Return the words of the command that a wrapper such as timeout starts; none for other programs."""
    if name in _RUNNERS:
        runs = next((index for index, word in enumerate(words) if word.text == "run"), None)
        return (
            _skip(
                words[runs + 1 :], frozenset({"-n", "-p", "--with", "--extra", "--python", "--project", "--group"}), 0
            )
            if runs is not None
            else ()
        )
    wrapper = WRAPPERS.get(name)
    return _skip(words, *wrapper) if wrapper else ()


def _skip(words: tuple[ShellWord, ...], valued: frozenset[str], operands: int) -> tuple[ShellWord, ...]:
    position = 0
    while position < len(words):
        text = words[position].text
        if text in valued:
            position += 1
        elif not (text.startswith("-") or _ASSIGNMENT.match(text)):
            if operands == 0:
                break
            operands -= 1
        position += 1
    return words[position:]


def _inner_texts(invocation: Invocation) -> Iterator[str]:
    """Yield arguments that a shell would run as commands."""
    name, arguments = invocation.name, invocation.arguments
    if name in {"eval", "watch", "parallel"}:
        yield " ".join(arguments)
    if name == "trap":
        yield from arguments[:1]
    if name in SHELLS | {"su", "script", "runuser", "flock", "doas"}:
        if text := _option_text(arguments, "c"):
            yield text
        yield from (
            redirect.target.text for redirect in invocation.command.redirects if redirect.operator.startswith("<<")
        )
    if name == "env":
        yield from _split_string(arguments)
    if name == "git":
        yield from _programs_of_git(arguments)
    yield from (value.text for variable, value in invocation.assignments if variable in _RUN_VARIABLES)


def _split_string(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the command in the option -S of env."""
    for index, word in enumerate(arguments):
        if match := re.match(r"(?:-S|--split-string=?)(.*)", word, re.DOTALL):
            yield " ".join((match[1], *arguments[index + 1 :]))


def _programs_of_git(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the commands that git's options, settings and subcommands run."""
    for index, word in enumerate(arguments):
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        if match := _GIT_OPTION.fullmatch(word):
            yield match[1] if match[1] is not None else following
        elif word == "-c" and (setting := _GIT_SETTING.fullmatch(following)):
            yield setting[1]
        elif word in {"-x", "-u"} and " " in following:
            yield following
        elif word in {"foreach", "run"} and arguments[0] in {"submodule", "bisect"}:
            yield " ".join(arguments[index + 1 :])


def _piped_texts(parsed: ParsedCommand, invocation: Invocation) -> Iterator[str]:
    """Yield literal text that is piped to a shell: echo 'rm -rf x' | sh."""
    if invocation.name in SHELLS and not invocation.operands:
        for source in parsed.upstream(invocation):
            if source.name in {"echo", "printf"}:
                yield unescaped(" ".join(word for word in source.arguments if word not in {"-e", "-n"}))
            yield from (one.target.text for one in source.command.redirects if one.operator.startswith("<<"))


def _option_text(arguments: Sequence[str], letter: str) -> str:
    """Return the word after -c or -lc, or the value of --command=."""
    for index, word in enumerate(arguments):
        if word.startswith("--command="):
            return word.partition("=")[2]
        if word == "--command" or (word.startswith("-") and not word.startswith("--") and word.endswith(letter)):
            return arguments[index + 1] if index + 1 < len(arguments) else ""
    return ""


def _code(name: str, words: tuple[ShellWord, ...], command: ShellCommand) -> str:
    base = re.sub(r"[0-9.]+\Z", "", name)
    for index, word in enumerate(words[:-1]):
        if base in _CODE_OPTIONS.get(word.text, ()) and base not in SHELLS:
            return words[index + 1].text
    if base in INTERPRETERS and all(word.text.startswith("-") for word in words):
        return "\n".join(one.target.text for one in command.redirects if one.operator.startswith("<<"))
    return ""


def resolve_paths(invocation: Invocation, path: str, context: CommandContext) -> Iterator[str]:
    """Yield every absolute path that `path` may refer to, before and after following links."""
    for folder in invocation.folders:
        absolute = context.absolute(path, folder)
        yield absolute
        followed = context.resolve(posixpath.join(folder, absolute))
        if followed != absolute:
            yield followed
