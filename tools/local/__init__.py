"""bash, read, write and edit in the working folder."""
