"""The people who use a team's server: who sent a request, and what it may do."""
