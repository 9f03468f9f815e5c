"""How tools reach services: the HTTP client, pages of strangers, the Hub's library, blocking libraries in threads."""
