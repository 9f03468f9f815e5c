"""The files of a search: git, worktrees and branches of the attempts, and copies for their evaluation."""
