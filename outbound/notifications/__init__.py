"""Notifications to Slack and other destinations."""
