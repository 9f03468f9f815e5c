"""Analysis of shell commands from their syntax trees."""
