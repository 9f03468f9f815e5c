"""Checks of data: rows that stand in two splits, groups and times across them, columns that state the target."""
