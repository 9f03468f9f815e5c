"""The results of a view: the user chose something, or left."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Chosen(Generic[T]):
    """The user chose this."""

    value: T


@dataclass(frozen=True)
class Cancelled:
    """The user left the view without an answer."""


CANCELLED = Cancelled()
