"""Clients for services on the network: HTTP, the Hub, pages of unknown sites."""
