"""Following threads for the web server: the process that runs each thread, its state, and the frames of its pages."""
