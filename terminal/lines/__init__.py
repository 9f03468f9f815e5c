"""A session on a terminal that cannot move its cursor, or with a screen reader: lines in order, numbered questions."""
