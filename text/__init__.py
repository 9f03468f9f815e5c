"""How text, numbers and times are shown."""
