"""What the agent finds out with: documentation, papers, GitHub, the web, and the sub-agent that reads for it."""
