"""OPTIONS: the single table of command line options. Parsing, help, completion and the reference come from it."""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import wraps
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_type_hints

from ml_intern.configs.errors import UsageError
from ml_intern.graph.limits import EFFORTS, HEADLESS_BUDGET_USD, MAX_ITERATIONS, ApprovalMode, Effort, VerifyLevel
from ml_intern.session.opening.request import SessionRequest

OutputFormat = Literal["text", "json", "stream-json"]
Runtime = Literal["local", "sandbox"]


class Word(NamedTuple):
    """The command line form of a field of Options. A "/" before a name makes it the negating switch."""

    names: str
    metavar: str
    """The placeholder of the value; empty for a switch."""
    help: str


@dataclass(frozen=True)
class Options:
    """The options of a command. None means that settings or defaults decide."""

    prompt: Annotated[
        str | None, Word("", "PROMPT", "the task; without it, an interactive session starts on a terminal")
    ] = None
    model: Annotated[
        str | None, Word("-m --model", "ID", "model to use, as provider/model; scripted:FILE replays a script")
    ] = None
    base_url: Annotated[
        str | None, Word("--base-url", "URL", "OpenAI-compatible endpoint of the model given with -m")
    ] = None
    api_key_env: Annotated[
        str | None,
        Word("--api-key-env", "NAME", "variable that contains the key for --base-url (default OPENAI_API_KEY)"),
    ] = None
    continue_: Annotated[bool, Word("-c --continue", "", "continue the most recent thread of this folder")] = False
    resume: Annotated[
        str | None,
        Word("-r --resume", "[THREAD]", "resume by id, unique id prefix or title; without a value, choose from a list"),
    ] = None
    fork: Annotated[bool, Word("--fork", "", "with -c or -r: continue in a copy of the thread")] = False
    print_: Annotated[
        bool, Word("-p --print", "", "run headless even on a terminal; the next word is a prompt, never a subcommand")
    ] = False
    interactive: Annotated[
        bool, Word("-i --interactive", "", "start an interactive session; PROMPT is its first message")
    ] = False
    output_format: Annotated[
        OutputFormat,
        Word("--output-format", "FORMAT", "text, json (one object at the end), stream-json (one event per line)"),
    ] = "text"
    output_schema: Annotated[
        str | None, Word("--output-schema", "FILE", "the final answer must match this JSON schema")
    ] = None
    no_stream: Annotated[bool, Word("--no-stream", "", "request complete replies instead of streaming")] = False
    max_iterations: Annotated[
        int | None,
        Word("--max-iterations", "N", f"maximum model calls per turn (default {MAX_ITERATIONS}, -1: no limit)"),
    ] = None
    max_budget_usd: Annotated[
        float | None,
        Word(
            "--max-budget-usd",
            "X",
            f"budget in US dollars, sub-agents included (headless default {HEADLESS_BUDGET_USD:g}, -1: no limit)",
        ),
    ] = None
    strict_budget: Annotated[
        bool, Word("--strict-budget", "", "refuse models of unknown price instead of counting their requests")
    ] = False
    timeout: Annotated[str | None, Word("--timeout", "DURATION", "time limit: 90, 90s, 10m, 1h30m")] = None
    patience: Annotated[
        str | None,
        Word(
            "--patience",
            "DURATION",
            "how long to wait for a model that does not answer: 10m, 8h (default 5m, headless 1h; 0: not at all)",
        ),
    ] = None
    approval_mode: Annotated[
        ApprovalMode | None,
        Word(
            "--approval-mode",
            "MODE",
            "ask (default on a terminal); accept-edits: ask, but not about files of the workspace; auto (default "
            "headless): refuse instead of asking; plan: read-only until "
            "you accept the plan; yolo: allow everything that no deny rule forbids",
        ),
    ] = None
    yolo: Annotated[bool, Word("-y --yolo", "", "same as --approval-mode yolo")] = False
    sandbox: Annotated[
        bool | None,
        Word(
            "--sandbox /--no-sandbox",
            "",
            "require the OS sandbox for local commands (error if unavailable), or turn it off",
        ),
    ] = None
    verify: Annotated[
        VerifyLevel | None,
        Word(
            "--verify",
            "LEVEL",
            "what is checked before an answer counts as done: off, quick (default on a terminal), standard (default "
            "headless), strict",
        ),
    ] = None
    lock: Annotated[
        list[str], Word("--lock", "GLOB", "files that the agent must not change, such as 'tests/**' (repeatable)")
    ] = field(default_factory=list[str])
    goal: Annotated[
        str | None,
        Word(
            "--goal",
            "CONDITION",
            "continue until it holds: 'macro F1 >= 0.80 on data/test.csv' or 'exit 0: pytest -q'; '' removes it",
        ),
    ] = None
    holdout: Annotated[
        str | None,
        Word(
            "--holdout",
            "FILE",
            "test data that the agent cannot read, or a split as FOLDER:SPLIT or ORG/NAME:SPLIT on the Hub; scored "
            "once at the end (needs the sandbox); '' removes it",
        ),
    ] = None
    tool_runtime: Annotated[
        Runtime | None,
        Word("--tool-runtime", "WHERE", "local, or sandbox: run bash, read, write and edit in a Hugging Face sandbox"),
    ] = None
    sandbox_tools: Annotated[bool, Word("--sandbox-tools", "", "same as --tool-runtime sandbox")] = False
    effort: Annotated[Effort | None, Word("--effort", "LEVEL", f"reasoning effort: {', '.join(EFFORTS)}")] = None
    cd: Annotated[str | None, Word("-C --cd", "DIR", "working folder")] = None
    add_dir: Annotated[list[str], Word("--add-dir", "DIR", "additional folder the tools may access (repeatable)")] = (
        field(default_factory=list[str])
    )
    config: Annotated[str | None, Word("--config", "FILE", "settings file that overrides the user's")] = None
    set_: Annotated[list[str], Word("--set", "KEY=VALUE", "override one setting, such as a.b=value (repeatable)")] = (
        field(default_factory=list[str])
    )
    trust: Annotated[bool, Word("--trust", "", "trust the working folder in this run (its settings, AGENTS.md)")] = (
        False
    )
    ephemeral: Annotated[bool, Word("--ephemeral", "", "save nothing to disk")] = False
    server: Annotated[
        str | None,
        Word("--server", "NAME", "use the threads of a server from `ml-intern login`, not those of this machine"),
    ] = None
    quiet: Annotated[bool, Word("-q --quiet", "", "print only errors to stderr")] = False
    verbose: Annotated[bool, Word("--verbose", "", "show reasoning and tool output")] = False
    version: Annotated[bool, Word("-V --version", "", "print the version")] = False

    def request(self, *, headless: bool = False) -> SessionRequest:
        """Return the request that opens a session. Raises UsageError for options that exclude each other."""
        self._refuse_contradictions()
        return SessionRequest(
            headless=headless,
            thread=self.resume,
            latest=self.continue_,
            fork=self.fork,
            ephemeral=self.ephemeral,
            folder=self.cd,
            add_dirs=tuple(self.add_dir),
            settings_file=self.config,
            assignments=tuple(self.set_),
            trust=self.trust,
            model=self.model,
            base_url=self.base_url,
            api_key_env=self.api_key_env,
            effort=self.effort,
            stream=not self.no_stream,
            max_iterations=self.max_iterations,
            max_budget_usd=self.max_budget_usd,
            strict_budget=self.strict_budget,
            patience=self.patience,
            approval_mode=self.approval_mode or ("yolo" if self.yolo else None),
            sandbox=self.sandbox,
            verify=self.verify,
            locks=tuple(self.lock),
            goal=self.goal,
            holdout=self.holdout,
            tool_runtime="sandbox" if self.sandbox_tools else self.tool_runtime,
        )

    def _refuse_contradictions(self) -> None:
        continues = self.continue_ or self.resume is not None
        if self.continue_ and self.resume is not None:
            raise UsageError(
                "-c and -r exclude each other",
                "-c continues the latest thread of this folder, -r resumes the one you name",
            )
        if self.fork and not continues:
            raise UsageError("--fork needs the thread to copy", "add -c or -r THREAD")
        if self.ephemeral and continues:
            raise UsageError(
                "--ephemeral saves no threads, so there is none to continue", "omit --ephemeral or the thread"
            )
        if self.yolo and self.approval_mode not in (None, "yolo"):
            raise UsageError(f"--yolo contradicts --approval-mode {self.approval_mode}", "use only one of them")


@dataclass(frozen=True)
class OptionSpec:
    """One row of OPTIONS."""

    field: str
    names: tuple[str, ...]
    metavar: str
    help: str
    annotation: Any
    default: Any

    @property
    def takes_value(self) -> bool:
        """Return whether a value follows: False for switches."""
        return bool(self.metavar)

    @property
    def switches(self) -> tuple[str, ...]:
        """Return every spelling of the option, "--no-" forms included."""
        return tuple(name.removeprefix("/") for name in self.names)


def specs_of(kind: type) -> dict[str, OptionSpec]:
    """Return the options that the fields of a dataclass declare, by field."""
    unset, hints = kind(), get_type_hints(kind, include_extras=True)
    specs = {}
    for item in fields(kind):
        annotation, word = get_args(hints[item.name])
        names = tuple(word.names.split())
        specs[item.name] = OptionSpec(item.name, names, word.metavar, word.help, annotation, getattr(unset, item.name))
    return specs


OPTIONS: MappingProxyType[str, OptionSpec] = MappingProxyType(specs_of(Options))
SWITCHES: MappingProxyType[str, OptionSpec] = MappingProxyType(
    {word: spec for spec in OPTIONS.values() for word in spec.switches}
)

MODEL_OPTIONS = ("model", "base_url", "api_key_env", "effort")
SETTINGS_OPTIONS = ("cd", "config", "set_", "trust")


def as_parameter(spec: OptionSpec) -> Parameter:
    """Build the parameter that Typer reads the option from."""
    import typer

    if not spec.names:
        info = typer.Argument(spec.default, help=spec.help, metavar=spec.metavar, show_default=False)
    else:
        names = " ".join(spec.names).replace(" /", "/").split()
        info = typer.Option(
            spec.default, *names, help=spec.help, metavar=spec.metavar or None, show_default=False, is_eager=False
        )
    return Parameter(spec.field, Parameter.KEYWORD_ONLY, default=info, annotation=spec.annotation)


def takes_options(*names: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add the named options, or all of them, to a command, which receives them as the keyword `options: Options`.

    The command's own parameters stay as Typer reads them.
    """
    return _taking("options", Options, [OPTIONS[name] for name in (names or OPTIONS)])


def takes_fields(keyword: str, kind: type) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add the options of a dataclass to a command, which receives them as this keyword."""
    return _taking(keyword, kind, list(specs_of(kind).values()))


def _taking(
    keyword: str, kind: type, chosen: Sequence[OptionSpec]
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @wraps(command)
        def wrapped(**given: Any) -> int:
            options = kind(**{spec.field: given.pop(spec.field) for spec in chosen})
            return command(**{keyword: options}, **given)

        own = [parameter for name, parameter in signature(command, eval_str=True).parameters.items() if name != keyword]
        parameters = [
            *(own_parameter.replace(kind=Parameter.KEYWORD_ONLY) for own_parameter in own),
            *map(as_parameter, chosen),
        ]
        wrapped.__dict__["__signature__"] = signature(command).replace(parameters=parameters)
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapped

    return decorate


def is_interactive(options: Options) -> bool:
    """Return whether to start an interactive session: a person is at the terminal and gave no prompt, or said -i.

    Raises UsageError for -i without a terminal, or with an option of headless runs.
    """
    has_terminal = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))
    asked_for_output = options.print_ or options.output_format != "text" or options.output_schema is not None
    if not options.interactive:
        return has_terminal and options.prompt is None and not asked_for_output
    if asked_for_output:
        raise UsageError("-i contradicts -p, --output-format and --output-schema", "omit -i for a headless run")
    if not has_terminal:
        raise UsageError("-i needs a terminal", "omit -i to run the prompt headless")
    return True


def seconds(duration: str) -> float:
    """Parse a DURATION: a bare number of seconds, or numbers with the units s, m, h, d. Raises UsageError."""
    from ml_intern.text.durations import DURATION_FORMS, seconds_of

    try:
        total = seconds_of(duration)
    except ValueError as error:
        raise UsageError(str(error), DURATION_FORMS) from error
    if not total:
        raise UsageError(f"{duration!r} is not a valid duration", DURATION_FORMS)
    return total


def options_table(specs: Iterable[OptionSpec] = OPTIONS.values()) -> str:
    """Return the table of options for the reference, in Markdown."""
    rows = [
        f"| `{', '.join(spec.switches)}{' ' + spec.metavar if spec.metavar else ''}` | {spec.help} |"
        for spec in specs
        if spec.names
    ]
    return "\n".join(["| option | meaning |", "|---|---|", *rows])
