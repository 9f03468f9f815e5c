"""docs_search and docs_read: the documentation of the Hugging Face libraries."""
