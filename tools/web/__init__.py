"""web_search and web_read, and reading pages and PDFs as text."""
