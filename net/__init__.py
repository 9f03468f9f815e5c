"""Network clients: HTTP services, the Hub, and pages of untrusted sites."""
