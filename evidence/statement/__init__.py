"""The in-toto statement about a delivered artifact: what it contains, where it is written, how it is checked."""
