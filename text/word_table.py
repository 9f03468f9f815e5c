"""Word sets written as text."""


def words(text: str) -> frozenset[str]:
    """Return the set of whitespace-separated words."""
    return frozenset(text.split())
