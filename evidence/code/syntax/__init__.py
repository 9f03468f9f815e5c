"""Rules that need the syntax tree of a script alone, without data flow."""
