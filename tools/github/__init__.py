"""github: code and example scripts of public repositories."""
