"""Tables of threads that a server offers to several machines: what was asked of them, and what happened in them."""
