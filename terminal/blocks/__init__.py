"""Events as rows of text: pure functions of data, width and theme. Nothing here reads keys or writes to a terminal."""
