"""Searches: worktrees, evaluation, the process of a search, and its commands."""
