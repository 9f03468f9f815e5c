"""What doom_check looks at: repeated calls, the budget, the quota of a sub-agent."""
