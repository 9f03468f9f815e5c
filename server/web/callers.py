"""Who sent a request, and what the handlers of the web server ask about it. `ml-intern web` has one user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from starlette.requests import Request

if TYPE_CHECKING:
    from starlette.types import Scope

_KEY: Final = "caller"
Operations = Sequence[Mapping[str, Any]]


class Caller(Protocol):
    """The one who sent a request."""

    @property
    def name(self) -> str:
        """The name of the user."""
        ...

    @property
    def admin(self) -> bool:
        """Whether the user sees all threads and may do everything."""
        ...

    @property
    def user(self) -> str:
        """The id of the user, who owns the threads that are created; "" if they have no owner."""
        ...

    @property
    def signed_in_as(self) -> str:
        """The name that pages show beside a button to sign out; "" if there is nothing to sign out of."""
        ...

    async def check(self, thread_id: str, operations: Operations) -> None:
        """Check that the user may submit operations to a thread. Raises MLInternError."""
        ...

    def check_model(self, model: str) -> None:
        """Check that the user may use a model. "" is the one in the settings. Raises MLInternError."""
        ...


@dataclass(frozen=True)
class Operator:
    """The one user of `ml-intern web`, and the one who has the token of a team's server: may do everything."""

    name: str = "operator"
    admin: bool = True
    user: str = ""
    signed_in_as: str = ""

    async def check(self, thread_id: str, operations: Operations) -> None:
        """Allow everything."""

    def check_model(self, model: str) -> None:
        """Allow every model."""


def caller_of(request: Request) -> Caller:
    """Return who sent a request, which was found out before the request is handled."""
    return cast(Caller, request.scope[_KEY])


def set_caller(scope: "Scope", caller: Caller) -> None:
    """Say who sent a request."""
    scope[_KEY] = caller


def seen_by(caller: Caller) -> str:
    """Return the id of the user whose threads are shown; "" for all threads."""
    return "" if caller.admin else caller.user
