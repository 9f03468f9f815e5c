"""research: a sub-agent that reads and reports with sources."""
