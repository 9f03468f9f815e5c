"""The subcommands of `threads`."""
