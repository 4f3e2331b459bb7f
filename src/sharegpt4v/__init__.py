"""ShareGPT4V as one reproducible pipeline, from raw images to the benchmark table."""

__version__ = "0.1.0"
