"""The subcommands of `jobs` and `runs`."""
