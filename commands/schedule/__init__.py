"""The subcommands of `schedule`."""
