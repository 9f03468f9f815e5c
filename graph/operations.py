"""The operations of a session: everything an interface can ask of it. Plain frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from ml_intern.graph.context import ApprovalMode


class Decision(TypedDict):
    """An answer to one open call: edit carries the new args, reject and respond a message.

    `always` goes with approve: what the request offers is allowed from now on, in this thread or in this folder.
    """

    type: Literal["approve", "edit", "reject", "respond"]
    message: NotRequired[str]
    args: NotRequired[dict[str, Any]]
    always: NotRequired[Literal["thread", "folder"]]


@dataclass(frozen=True)
class UserInput:
    """A message of the user; it starts a turn, and answers what is open with "superseded"."""

    text: str
    typed: str | None = None
    """The user's own words in it, where files or a pipe were added to them; None when it is all of it."""
    images: tuple[str, ...] = ()
    """Images that belong to it, as data URLs."""
    sources: tuple[str, ...] = ()
    """Where outside text that was added came from."""


@dataclass(frozen=True)
class ExecApproval:
    """Answers to the pending requests, by call id. A request without an answer is rejected."""

    decisions: Mapping[str, Decision] = field(default_factory=dict[str, Decision])


@dataclass(frozen=True)
class Interrupt:
    """Stop the turn now; honoured while it runs. Open calls are closed, nothing stays pending."""


@dataclass(frozen=True)
class Compact:
    """Shorten the conversation; `keep` says in the user's words what must stay."""

    keep: str = ""


Scope = Literal["both", "conversation", "files"]
"""What an undo or a redo moves."""


@dataclass(frozen=True)
class Undo:
    """Take the last turns back."""

    turns: int = 1
    files: Scope = "both"


@dataclass(frozen=True)
class Redo:
    """Bring back what the last undo took."""

    files: Scope = "both"


@dataclass(frozen=True)
class Fork:
    """Go on in a new thread that holds this one up to the end of `turn`; None is all of it."""

    turn: int | None = None


@dataclass(frozen=True)
class Rename:
    """Give the thread a title."""

    title: str


@dataclass(frozen=True)
class SetModel:
    """Use another model from the next call on."""

    model: str


@dataclass(frozen=True)
class SetEffort:
    """Use another reasoning effort from the next call on; None is the model's own."""

    level: str | None


@dataclass(frozen=True)
class SetMode:
    """Use another approval mode from the next verdict on."""

    mode: ApprovalMode


@dataclass(frozen=True)
class RunCommand:
    """Run the user's own command (`!cmd`) under the same policy and journal; its output joins the conversation."""

    command: str


@dataclass(frozen=True)
class New:
    """Go on in a new, empty thread."""


@dataclass(frozen=True)
class Resume:
    """Go on in another thread: an id, a unique prefix of one, or a title."""

    thread: str


@dataclass(frozen=True)
class Shutdown:
    """End the session; the thread stays resumable."""


@dataclass(frozen=True)
class Settle:
    """The session's own, after a thread was opened: ask again what waits, go on with what was cut off."""


@dataclass(frozen=True)
class Wake:
    """The session's own, after a run ended: tell the model, unless a turn did so or a person is being asked."""


Operation = (
    UserInput
    | ExecApproval
    | Interrupt
    | Compact
    | Undo
    | Redo
    | Fork
    | Rename
    | SetModel
    | SetEffort
    | SetMode
    | RunCommand
    | New
    | Resume
    | Shutdown
    | Settle
    | Wake
)
