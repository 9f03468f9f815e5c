"""The checks of doom_check: repeated calls, the budget and the quota of a sub-agent."""
