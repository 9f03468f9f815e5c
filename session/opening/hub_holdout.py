"""A hold-out from the Hub: one split of a dataset, fetched before the turn to a folder that the agent cannot read."""

import asyncio
import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ml_intern.configs.errors import TemporaryError, UsageError
from ml_intern.configs.paths import cache_home, private_folder
from ml_intern.execution.call import ToolError
from ml_intern.net.hub import call_hub
from ml_intern.net.service import TooManyRequests, Unavailable
from ml_intern.session.opening.request import SessionRequest
from ml_intern.text.formatting import plural

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_NAMED: Final = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?:([\w.-]+)")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SECONDS: Final = 600.0
_TABLES: Final = (".csv", ".tsv", ".parquet", ".jsonl", ".json", ".txt", ".arrow")
_PLACES: Final = ("{split}", "{split}-*", "{split}/*", "data/{split}", "data/{split}-*", "data/{split}/*")
"""Where a dataset has the file of a split, without the suffix."""


def split_patterns(split: str) -> tuple[str, ...]:
    """Return the patterns of the file of a split, relative to the dataset."""
    return tuple(place.format(split=split) + end for place in _PLACES for end in _TABLES)


@dataclass(frozen=True)
class HubSplit:
    """A split of a dataset on the Hub, written ORG/NAME:SPLIT or ORG/NAME@REVISION:SPLIT."""

    repo: str
    revision: str
    split: str

    @property
    def text(self) -> str:
        """Return how it is written."""
        return f"{self.repo}@{self.revision}:{self.split}" if self.revision else f"{self.repo}:{self.split}"

    @property
    def file(self) -> Path | None:
        """Return the fetched file, or None. A split of a commit is one file or was refused."""
        if not _COMMIT.fullmatch(self.revision) or not self._folder.is_dir():
            return None
        found = (path for pattern in split_patterns(self.split) for path in self._folder.glob(pattern))
        return next((path for path in found if path.is_file()), None)

    @property
    def _folder(self) -> Path:
        return cache_home() / "holdouts" / self.repo.replace("/", "--") / self.revision

    def fetch(self, api: "HfApi") -> "HubSplit":
        """Download the file and return the split at its commit. Raises UsageError and the library's errors."""
        info = api.dataset_info(self.repo, revision=self.revision or None)
        names = [one.rfilename for one in info.siblings or ()]
        found = [name for name in names if any(_matches(name, pattern) for pattern in split_patterns(self.split))]
        if len(found) != 1:
            what = plural(len(found), "file") if found else "no file"
            raise UsageError(
                f"--holdout: the dataset {self.repo} has {what} of the split {self.split}",
                f"a split must be one file, such as {self.split}.csv or data/{self.split}-00000-of-00001.parquet",
            )
        pinned = replace(self, repo=info.id, revision=str(info.sha))
        folder = private_folder(pinned._folder)
        api.hf_hub_download(pinned.repo, found[0], repo_type="dataset", revision=pinned.revision, local_dir=folder)
        return pinned


def _matches(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)


def hub_split(text: str) -> HubSplit | None:
    """Return the split of a dataset on the Hub that a hold-out names, or None if it names a file or folder here."""
    found = _NAMED.fullmatch(text)
    if not found or Path(text).exists() or Path(text.rpartition(":")[0]).exists():
        return None
    return HubSplit(found[1], found[2] or "", found[3])


async def with_fetched_holdout(request: SessionRequest) -> SessionRequest:
    """Return the request with a hold-out from the Hub fetched, and named by its commit. Nothing else is changed.

    Raises:
        UsageError: there is no such dataset or split, or it cannot be read.
        TemporaryError: the Hub does not answer.
    """
    split = await asyncio.to_thread(hub_split, request.holdout or "")
    if split is None or split.file is not None:
        return request
    try:
        fetched = await call_hub(split.fetch, f"dataset {split.repo}", seconds=_SECONDS)
    except (Unavailable, TooManyRequests) as error:
        raise TemporaryError(f"--holdout {split.text}: {error}") from error
    except ToolError as error:
        raise UsageError(f"--holdout {split.text}: {error}") from error
    return replace(request, holdout=fetched.text)
