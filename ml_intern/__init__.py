"""ml-intern: an autonomous ML engineer for the terminal. Folders of the repository are linked here as subpackages."""
