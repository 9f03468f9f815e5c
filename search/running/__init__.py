"""The process of a search: its attempts, their limits, and its end."""
