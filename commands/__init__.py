"""One file a group of subcommands; each function takes options and returns an exit code."""
