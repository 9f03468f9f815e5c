"""The arguments of hub_repos, and what repository they mean."""

from typing import Any, Literal

from pydantic import Field

from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolArgs, ToolContext
from ml_intern.net.hub_identity import token_owner

RepoType = Literal["model", "dataset", "space"]
Operation = Literal[
    "account", "info", "list", "read", "diff", "refs", "commits", "discussions", "discussion", "runtime", "logs",
    "download", "upload", "delete_files", "card", "create", "settings", "move", "duplicate", "delete_repo",
    "create_branch", "delete_branch", "create_tag", "delete_tag", "open_discussion", "open_pull_request", "comment",
    "rename_discussion", "close", "reopen", "merge",
]  # fmt: skip


class HubReposArgs(ToolArgs):
    """What hub_repos takes. Which arguments an operation uses, its description says."""

    operation: Operation = Field(description="What to do; see the tool's description.")
    repo: str = Field("", max_length=200, description="org/name; a name alone is one of the token's owner.")
    type: RepoType = Field("model", description="What kind of repository it is.")
    path: str = Field("", max_length=1000, description="File or folder in the repository; empty: its root.")
    local: str = Field("", max_length=1000, description="File or folder here, in the workspace.")
    revision: str = Field("", max_length=200, description="Branch, tag, commit or refs/pr/N; empty: main.")
    against: str = Field("", max_length=200, description="diff: the other revision.")
    recursive: bool = Field(False, description="list: folders in folders too.")
    offset: int = Field(1, ge=1, description="read: the first line to show.")
    limit: int = Field(500, ge=1, le=5_000, description="read: how many lines; lists: how many entries.")
    patterns: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="delete_files: paths or patterns, a folder ends with /; upload, download: only what matches.",
    )
    message: str = Field("", max_length=2_000, description="upload, delete_files, card, tags: the commit's message.")
    create_pr: bool = Field(False, description="upload, delete_files, card: as a new pull request instead.")
    name: str = Field("", max_length=200, description="The branch or tag.")
    to: str = Field("", max_length=200, description="move, duplicate: the new org/name.")
    private: bool | None = Field(None, description="create, duplicate: false is public, else private; settings.")
    gated: Literal["no", "auto", "manual"] | None = Field(None, description="settings: who must ask for access.")
    sdk: Literal["gradio", "docker", "static"] | None = Field(None, description="create: of a space.")
    metadata: dict[str, Any] = Field(default_factory=dict, description="card: fields of the card to set.")
    number: int = Field(0, ge=0, description="The discussion or pull request.")
    title: str = Field("", max_length=300, description="Of a new discussion or pull request; the new title.")
    text: str = Field("", max_length=20_000, description="What the discussion or comment says, in markdown.")

    @property
    def at(self) -> str | None:
        """The revision, as the library wants it."""
        return self.revision or None

    @property
    def about(self) -> str:
        """Type and name, as errors say it."""
        return f"{self.type} {self.repo}"


async def named(args: HubReposArgs, context: ToolContext) -> HubReposArgs:
    """The arguments with the whole names of the repositories.

    Raises:
        ToolError: no name, or one without namespace while nobody is signed in.
    """
    to = await full_name(args.to, context) if args.to else ""
    return args.model_copy(update={"repo": await full_name(args.repo, context), "to": to})


async def full_name(repo: str, context: ToolContext) -> str:
    """`org/name` for a name alone, which is the token owner's. Raises ToolError when there is none."""
    name = repo.strip().strip("/")
    if not name:
        raise ToolError("name the repository in `repo`, as org/name")
    if "/" in name:
        return name
    owner = await token_owner(context)
    if not owner:
        raise ToolError(f"{name} has no namespace and no token says whose it is; name it as org/name")
    return f"{owner}/{name}"


def given(args: HubReposArgs, *names: str) -> None:
    """Raises ToolError when one of these arguments was left out."""
    missing = [name for name in names if not getattr(args, name)]
    if missing:
        raise ToolError(f"the operation {args.operation} needs {' and '.join(missing)}")
