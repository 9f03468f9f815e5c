"""The screen: rows, the frame that draws them, and the application that takes the keys."""
