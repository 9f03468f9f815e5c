"""Schedules: threads that start by themselves at regular times."""
