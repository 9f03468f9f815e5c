"""The thread database. All SQL of ml-intern is in this package."""
