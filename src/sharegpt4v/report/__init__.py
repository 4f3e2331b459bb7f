"""What a run shows of itself: figures, tables of statistics, timings."""
