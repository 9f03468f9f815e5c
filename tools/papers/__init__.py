"""papers: search, full text, citations."""
