"""The interactive application."""
