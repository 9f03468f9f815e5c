"""The set-up of the first start, the model probe and the demo."""
