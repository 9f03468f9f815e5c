"""The folders in the Hugging Face caches where commands could find a dataset that is hidden from them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

_PREPARED: Final = frozenset({"datasets", "xet"})
"""Caches whose folders do not say which dataset they are from."""


def folders_with_dataset(caches: Iterable[str], dataset: str) -> tuple[str, ...]:
    """Return the folders to hide: the dataset's own in the Hub's cache, and the caches of prepared data and parts."""
    own = f"datasets--{dataset.replace('/', '--')}"
    paths = [Path(cache) for cache in caches]
    hidden = [path if path.name in _PREPARED else path / own for path in paths if path.name in {*_PREPARED, "hub"}]
    return tuple(map(str, hidden))
