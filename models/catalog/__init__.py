"""What is known about models: context windows, prices, capabilities."""
