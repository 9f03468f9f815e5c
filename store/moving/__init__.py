"""Threads that move from one store to another, such as from a file of this machine to a team's database."""
