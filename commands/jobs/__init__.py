"""jobs and runs."""
