"""Metrics that trackers wrote to files: trackio, W&B offline, MLflow and TensorBoard."""
