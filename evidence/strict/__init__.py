"""The additions of the level strict: a second seed, and a read-only reviewer."""
