"""What the model can call, and the one way a call is run."""
