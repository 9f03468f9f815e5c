"""A thread as a file of the user's dataset of traces on the Hub: redacted, looked through again, then sent."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ml_intern.configs.errors import ConfigurationError, MLInternError
from ml_intern.outbound.conversation import Conversation
from ml_intern.outbound.exporting.formats import exported
from ml_intern.safety.secrets.redaction import has_secret

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CARD = """\
---
tags:
- agent-traces
- format:agent-traces
- ml-intern
---

Sessions of [ml-intern](https://github.com/huggingface/ml-intern), one thread a file, secrets replaced.
"""


def trace_path(conversation: Conversation) -> str:
    """Where a thread is in the dataset: the same at every upload, so that it replaces itself."""
    began = datetime.fromtimestamp(conversation.created or 0.0, UTC)
    return f"sessions/{began:%Y-%m-%d}/{conversation.thread_id}.jsonl"


def trace_of(conversation: Conversation) -> bytes:
    """The thread in STS-Format. MLInternError when something in it still looks like a secret."""
    text = exported(conversation, "sts")
    if has_secret(text):
        raise MLInternError("the trace still holds what looks like a secret, so it is not uploaded")
    return text.encode()


def repository_of(template: str, user: str) -> str:
    """The dataset's id. ConfigurationError when the template makes none."""
    try:
        repository = template.format(hf_user=user)
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigurationError(
            f"personal_trace_repo_template {template!r} cannot be filled", "use {hf_user}"
        ) from error
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise ConfigurationError(f"personal_trace_repo_template makes {repository!r}, which is no OWNER/NAME")
    return repository


def put_trace(api: "HfApi", repository: str, path: str, content: bytes, *, public: bool) -> str:
    """Upload one trace, making the dataset if there is none; its address. Blocks.

    Raises MLInternError when the dataset is public and this is not, and what the Hub's library raises.
    """
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.errors import RepositoryNotFoundError

    files = {path: content}
    try:
        if not public and not api.dataset_info(repository).private:
            raise MLInternError(
                f"the dataset {repository} is public and sharing is private, so nothing is uploaded",
                "make it private, or say /share-traces public",
            )
    except RepositoryNotFoundError:
        files["README.md"] = CARD.encode()
        api.create_repo(repository, repo_type="dataset", private=not public, exist_ok=True)
    operations = [CommitOperationAdd(name, data) for name, data in files.items()]
    api.create_commit(repository, operations, repo_type="dataset", commit_message=f"Trace {path.rpartition('/')[2]}")
    return f"datasets/{repository}/blob/main/{path}"


def set_visibility(api: "HfApi", repository: str, *, public: bool) -> bool:
    """Make the dataset public or private; whether there is one. Blocks."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        api.update_repo_settings(repository, repo_type="dataset", private=not public)
    except RepositoryNotFoundError:
        return False
    return True
