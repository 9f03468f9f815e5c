"""Repositories and the sandbox: where they are, what git would run from them, and git itself without rights."""
