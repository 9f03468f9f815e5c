"""Background runs: launch, supervise, follow, measure."""
