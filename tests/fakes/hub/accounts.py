"""Who asks, what they may see, and how the Hub says no: the headers by which the client knows its errors."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.fakes.hub.storage import Repository


@dataclass(frozen=True)
class Account:
    """A user of the Hub."""

    name: str
    orgs: tuple[str, ...] = ()
    role: str = "write"
    """Of the token: "read" or "write"."""
    can_pay: bool = True

    def owns(self, namespace: str) -> bool:
        return namespace.lower() in {name.lower() for name in (self.name, *self.orgs)}


class Refused(Exception):
    """Ends a request with this response."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def refusal(status: int, message: str, code: str = "", **headers: str) -> Refused:
    """An error as the Hub says it; header names with underscores for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    known = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **named}
    return Refused(JSONResponse({"error": message}, status, known))


def token_of(request: Request) -> str | None:
    """The token that came along."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def need_reader(repository: Repository | None, account: Account | None, *, content: bool = False) -> Repository:
    """Refuse who may not see the repository or, with `content`, its files."""
    if repository is None or (repository.private and not (account and account.owns(repository.namespace))):
        raise refusal(404 if account else 401, "Repository not found", "RepoNotFound")
    closed = content and repository.gated and not (account and account.owns(repository.namespace))
    if closed and not (account and account.name in repository.granted):
        said = f"Access to {repository.kind[:-1]} {repository.id} is restricted"
        raise refusal(403 if account else 401, f"{said}. Visit its page to ask for access.", "GatedRepo")
    return repository


def need_writer(namespace: str, account: Account | None) -> Account:
    """Refuse who may not write there."""
    if account is None:
        raise refusal(401, "Invalid username or password.")
    if account.role != "write" or not account.owns(namespace):
        raise refusal(403, f'You don\'t have the rights to write to the namespace "{namespace}"')
    return account
