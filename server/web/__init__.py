"""The web page: threads of this machine in a browser, and the wire over HTTP."""
