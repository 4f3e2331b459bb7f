"""What a run shows of itself: figures, timings, and MLflow."""
