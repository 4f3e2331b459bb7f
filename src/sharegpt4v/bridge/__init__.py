"""To and from other evaluation harnesses: our questions as their tasks, their samples as our answers."""
