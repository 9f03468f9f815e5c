"""papers: search, full text and citations."""
