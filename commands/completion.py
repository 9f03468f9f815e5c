"""`completion`: generate a shell completion script from the tables of options and subcommands."""

import sys
from typing import Annotated, Literal

import typer

from ml_intern.commands.options import OPTIONS, OptionSpec
from ml_intern.commands.table import COMMANDS
from ml_intern.graph.limits import EFFORTS

Shell = Literal["bash", "zsh", "fish"]

FILE_METAVARS = frozenset({"FILE", "DIR"})
VALUES: dict[str, str] = {
    "output_format": "text json stream-json",
    "approval_mode": "ask accept-edits auto yolo plan",
    "tool_runtime": "local sandbox",
    "effort": " ".join(EFFORTS),
}


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="the shell")],
) -> int:
    """Print a completion script. In bash and zsh, eval "$(ml-intern completion bash)"; in fish, pipe it to source."""
    sys.stdout.write({"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]())
    return 0


def _words() -> str:
    return " ".join(switch for spec in OPTIONS.values() for switch in spec.switches)


def _bash() -> str:
    cases = "\n".join(f"    {command.name}) words='{' '.join(command.actions)}' ;;" for command in COMMANDS.values())
    values = "\n".join(
        f"    {'|'.join(OPTIONS[name].switches)}) COMPREPLY=($(compgen -W '{words}' -- \"$word\")); return ;;"
        for name, words in VALUES.items()
    )
    files = "|".join(switch for spec in _file_options() for switch in spec.switches)
    return f"""_ml_intern() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" words='{" ".join(COMMANDS)}'
  case "$before" in
{values}
    {files}) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  if [[ $COMP_CWORD -eq 2 ]]; then case "$before" in
{cases}
    *) words='' ;;
  esac; elif [[ $COMP_CWORD -gt 2 ]]; then words=''; fi
  if [[ "$word" == -* ]]; then words='{_words()}'; fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _ml_intern ml-intern
"""


def _zsh() -> str:
    return f"autoload -U +X bashcompinit && bashcompinit\n{_bash()}"


def _fish() -> str:
    lines = [
        f"complete -c ml-intern -n __fish_use_subcommand -f -a {command.name} -d '{_quoted(command.summary)}'"
        for command in COMMANDS.values()
    ]
    for command in COMMANDS.values():
        for action in command.actions:
            lines.append(f"complete -c ml-intern -n '__fish_seen_subcommand_from {command.name}' -f -a {action}")
    lines += [_fish_option(spec) for spec in OPTIONS.values() if spec.names]
    return "\n".join(lines) + "\n"


def _fish_option(spec: OptionSpec) -> str:
    words = "".join(f" -l {word[2:]}" if word.startswith("--") else f" -s {word[1:]}" for word in spec.switches)
    value = f" -xa '{VALUES[spec.field]}'" if spec.field in VALUES else " -r" if spec.takes_value else ""
    return f"complete -c ml-intern{words}{value} -d '{_quoted(spec.help)}'"


def _file_options() -> list[OptionSpec]:
    return [spec for spec in OPTIONS.values() if spec.metavar in FILE_METAVARS]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
