"""Runs that outlive the turn: what starts them, what looks after them, and what is checked before they cost."""
