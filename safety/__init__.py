"""The approval policy and its rules."""
