"""Training: rows and loss mask, packing, the run and its meter (paper sections 4.2 and 4.3)."""
