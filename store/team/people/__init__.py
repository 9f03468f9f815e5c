"""The people of a shared database: users, their tokens, and what each may do with which thread."""
