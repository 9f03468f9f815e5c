"""The thread database. All SQL is here."""
