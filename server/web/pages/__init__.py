"""The pages of the web interface, rendered on the server with the functions of the HTML export."""
