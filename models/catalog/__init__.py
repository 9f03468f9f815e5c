"""Facts about models: context windows, prices, capabilities."""
