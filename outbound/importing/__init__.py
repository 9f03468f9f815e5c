"""Conversations read from other formats."""
