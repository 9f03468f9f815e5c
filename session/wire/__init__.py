"""The interface to threads over a connection: JSON lines over a unix socket or over stdin and stdout."""
