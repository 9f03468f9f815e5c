"""web_search and web_read, and text extraction from pages and PDFs."""
