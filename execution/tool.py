"""What a tool is: its spec, a call of it, the context it runs in, the result it gives. execution/run.py runs it."""

import hashlib
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_type_hints

from pydantic import BaseModel, ConfigDict

from ml_intern.graph.context import RunOptions, Services
from ml_intern.graph.events import Emit
from ml_intern.store.journal import CallKey

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from ml_intern.graph.state import PlanStep

OnResume = Literal["report", "rerun", "reattach"]
FindOnResume = Callable[[Mapping[str, Any]], OnResume]
"""Tells it for a call with these arguments."""
Status = Literal["done", "failed", "invalid", "refused", "timeout", "interrupted"]
DEFAULT_TIMEOUT = 120.0
_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]")


class ToolFault(Exception):
    """A failure with its remedy in one short text; it becomes a failed result, never a traceback."""

    taint: tuple[str, ...] = ()
    """Outside sources whose words are in the text."""


class ToolArgs(BaseModel):
    """The parameters of a tool. Keys nobody declared are refused."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class ToolResult:
    """What a call gives back. `text` is all the model sees; it says itself when `ok` is false."""

    text: str
    ok: bool = True
    status: Status = "done"
    state: Mapping[str, Any] | None = None
    """A partial AgentState to write, for example the plan."""
    artifact: str | None = None
    """Path of the file that holds the whole of what `text` shortens."""
    taint: tuple[str, ...] = ()
    """Outside sources whose text is in the result."""
    images: tuple[str, ...] = ()
    """Images as data URLs."""

    def as_json(self) -> dict[str, Any]:
        """The result as the journal keeps it."""
        return {
            "text": self.text,
            "ok": self.ok,
            "status": self.status,
            "state": dict(self.state) if self.state is not None else None,
            "artifact": self.artifact,
            "taint": list(self.taint),
            "images": list(self.images),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ToolResult":
        """The result that `as_json` wrote."""
        lists = {"taint": tuple(data.get("taint", ())), "images": tuple(data.get("images", ()))}
        return cls(**{**data, **lists})


def failure(text: str, status: Status = "failed") -> ToolResult:
    """A result that says what went wrong; providers do not pass a status on, so the text begins with it."""
    return ToolResult(text=f"error: {text}", ok=False, status=status)


@dataclass(frozen=True)
class ToolContext:
    """What a tool may work with: its folder, its thread, the services, and the way to send events."""

    thread_id: str
    root_id: str
    workspace: Path
    options: RunOptions
    services: Services
    emit: Emit
    add_dirs: tuple[Path, ...] = ()
    call_id: str = ""
    approved: bool = False
    """A person said yes to this call, with exactly these arguments."""
    plan: "tuple[PlanStep, ...]" = ()
    messages: "Sequence[AnyMessage]" = ()
    """The conversation when the call began."""
    taint: tuple[str, ...] = ()
    user_text: str = ""
    """What the user typed in this thread, or, for a sub-agent, in the thread at the top."""
    sandbox_profile: str = "none"
    """Name of the wall that local commands run behind; part of a call's digest."""
    key: CallKey | None = None
    """The call's row in the journal while it runs."""

    @property
    def artifact_folder(self) -> Path:
        """The folder of this thread's artifact files; it may not exist yet."""
        return self.services.artifacts(self.thread_id)

    @property
    def spawn(self) -> "Callable[..., Awaitable[ToolResult]] | None":
        """Run a sub-agent in a child thread; None where there are none."""
        return self.services.spawn

    def roots(self) -> tuple[Path, ...]:
        """The folders that tools may touch, resolved."""
        return tuple(folder.resolve() for folder in (self.workspace, *self.add_dirs))

    def resolve(self, path_text: str, *, reading: bool = False) -> Path:
        """The real path `path_text` names, symlinks followed. Reading may also go to the artifacts of threads.

        Raises:
            ToolFault: the path is empty, unusable, in the folder ml-intern keeps its own files in, or outside the
                workspace and the added folders.
        """
        path, home = real_path(path_text, self.workspace), self.services.store.home.resolve()
        if reading and is_kept_output(path, home):
            return path
        within = [root for root in self.roots() if path.is_relative_to(root)]
        if not within:
            raise ToolFault(
                f"path outside the workspace: {path} is not in {self.workspace}; "
                "work inside it, or ask the user to start with --add-dir FOLDER"
            )
        if path.is_relative_to(home) and not any(root.is_relative_to(home) for root in within):
            raise ToolFault(f"{path} belongs to ml-intern itself (its threads and settings); leave it alone")
        return path

    def artifact_path(self, suffix: str = ".txt") -> Path:
        """Where the whole of this call's result goes when it is too long for the conversation."""
        return self.artifact_folder / f"{_FILE_NAME.sub('_', self.mark.partition('/')[2])[-100:]}{suffix}"

    @property
    def mark(self) -> str:
        """What names this call in the environment of its processes; the same after a restart."""
        return mark_of(self.key) if self.key else f"{self.thread_id}/{self.call_id}".replace(":", "_")

    def name_of(self, path: Path) -> str:
        """`path` as the model should see it: relative to the workspace when it is inside."""
        root = self.workspace.resolve()
        return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)

    async def set_handle(self, handle: str) -> None:
        """Write the handle of what is about to start into the journal, so that a resume can reattach to it."""
        if self.key is not None:
            await self.services.store.journal.set_handle(self.key, handle)


def is_kept_output(path: Path, home: Path) -> bool:
    """Whether the path is an artifact of a thread or the log of a run. Both are resolved."""
    in_runs = path.is_relative_to(home / "runs") and path.name == "log.txt"
    return in_runs or path.is_relative_to(home / "artifacts")


def mark_of(key: CallKey) -> str:
    """The mark of the processes of the call with that key."""
    return f"{key.thread_id}/{key.message_id}/{key.index}".replace(":", "_")


def real_path(path_text: str, workspace: Path) -> Path:
    """Resolve `path_text` against `workspace`, following symlinks; `~` is the user's home.

    Raises:
        ToolFault: the text is no usable path.
    """
    if not path_text.strip():
        raise ToolFault("the path is empty; name a file")
    try:
        return (workspace / Path(path_text).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ToolFault(f"unusable path {path_text[:200]!r}: {error}") from error


@dataclass(frozen=True)
class ToolCall:
    """One call of a model's reply; `index` is its place among the calls of that AIMessage."""

    name: str
    args: Mapping[str, Any]
    id: str
    message_id: str
    index: int

    def key(self, thread_id: str) -> CallKey:
        """The call's key in the journal."""
        return CallKey(thread_id, self.message_id, self.index)

    def digest(self, workspace: str | Path, profile: str) -> str:
        """sha256 of what would run: the tool, its canonical arguments, the folder and the sandbox profile."""
        canonical = json.dumps([self.name, self.args, str(workspace), profile], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


class Handler(Protocol):
    """The function of a tool. Text alone stands for a result that went well."""

    def __call__(self, args: Any, context: ToolContext, /) -> Awaitable[ToolResult | str]:
        """Do what the tool is for. A ToolFault becomes a failed result."""
        ...


class Reattach(Protocol):
    """Find again, by its handle, what a call had started when the process died, and give its result."""

    def __call__(self, handle: str, args: Any, context: ToolContext, /) -> Awaitable[ToolResult | str]:
        """Give the result of what the handle names, waiting for it if need be."""
        ...


@dataclass(frozen=True)
class Reach:
    """What a call reaches outside this machine."""

    destinations: tuple[str, ...] = ()
    """Repository ids or hosts it sends something to."""
    public: bool = False
    """Anybody can see what it sends there."""
    irreversible: bool = False
    """What it does there cannot be taken back, as the deletion of a repository."""
    cost_usd: float | None = 0.0
    """Worst price; None when it is not known."""
    secrets: tuple[str, ...] = ()
    """Names of the user's secrets that it is given."""
    unknown: str = ""
    """Why the rest could not be found out."""
    refused: str = ""
    """Why it is not done, whoever allows it."""


NO_REACH = Reach()


def unknown_reach(why: str) -> Reach:
    """The reach of a call of which nothing is known."""
    return Reach(("unknown",), public=True, cost_usd=None, unknown=why)


class FindReach(Protocol):
    """Tell what a call would reach. It may ask the network for a price; it changes nothing."""

    def __call__(self, args: Mapping[str, Any], context: ToolContext, /) -> Awaitable[Reach]:
        """The reach of a call with these arguments, which fit the tool's parameters."""
        ...


@dataclass(frozen=True)
class ToolSpec:
    """A tool: what the model is told of it, and how it is run."""

    name: str
    description: str
    parameters: type[BaseModel]
    handler: Handler
    read_only: bool = False
    """It changes nothing: it runs unasked, next to others like it, and again after a crash."""
    reads: Callable[[Mapping[str, Any]], bool] | None = None
    """For a tool that does both: whether a call with these arguments is like one of a read-only tool."""
    on_resume: OnResume | FindOnResume = "report"
    """What to do with a call the process died in."""
    timeout: float | None = DEFAULT_TIMEOUT
    """Seconds until the call is stopped; None when the tool keeps its own limit."""
    asks: bool = True
    """Whether policy may ask a person about it."""
    path_args: tuple[str, ...] = ("path",)
    """The arguments that name files; policy looks at where they lead."""
    reattach: Reattach | None = None
    """Needed where on_resume is "reattach"."""
    reach: FindReach | None = None
    """For tools that send something out or spend money."""
    warning: Callable[[], str] | None = None
    """For tools of others: why what was allowed before does not hold now, or ""."""

    def only_reads(self, args: Mapping[str, Any]) -> bool:
        """Whether a call with these arguments changes nothing."""
        return self.read_only or (self.reads is not None and self.reads(args))

    def after_crash(self, args: Mapping[str, Any]) -> OnResume:
        """What to do with such a call when the process died in it."""
        told = self.on_resume if isinstance(self.on_resume, str) else self.on_resume(args)
        return "rerun" if told == "report" and self.only_reads(args) else told


@dataclass(frozen=True)
class _Traits:
    name: str | None = None
    read_only: bool = False
    reads: Callable[[Mapping[str, Any]], bool] | None = None
    on_resume: OnResume | FindOnResume | None = None
    timeout: float | None = DEFAULT_TIMEOUT
    asks: bool | None = None
    path_args: tuple[str, ...] = field(default=("path",))
    reattach: Reattach | None = None
    reach: FindReach | None = None


def tool(**traits: Any) -> Callable[[Handler], ToolSpec]:
    """Make a ToolSpec of an async function `f(args: SomeModel, context: ToolContext)`.

    The name is the function's, the description its docstring, the parameters the type of its first argument. Traits are
    the fields of ToolSpec; a read-only tool is run again after a crash and never asked about unless they say otherwise.

    Raises:
        TypeError: no docstring, an unknown trait, or a first argument that is no pydantic model.
    """
    given = _Traits(**traits)

    def specify(handler: Handler) -> ToolSpec:
        name = given.name or str(getattr(handler, "__name__", ""))
        description = inspect.getdoc(handler)
        if not description:
            raise TypeError(f"the tool {name} has no docstring; it is what the model is told")
        return ToolSpec(
            name=name,
            description=description,
            parameters=_parameters_of(handler, name),
            handler=handler,
            read_only=given.read_only,
            reads=given.reads,
            on_resume=given.on_resume or ("rerun" if given.read_only else "report"),
            timeout=given.timeout,
            asks=not given.read_only if given.asks is None else given.asks,
            path_args=given.path_args,
            reattach=given.reattach,
            reach=given.reach,
        )

    return specify


def _parameters_of(handler: Handler, name: str) -> type[BaseModel]:
    first = next(iter(inspect.signature(handler).parameters), "")
    model = get_type_hints(handler).get(first)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"the first argument of the tool {name} must be annotated with a pydantic model")
    return model
