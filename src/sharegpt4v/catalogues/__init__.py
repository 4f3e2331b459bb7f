"""The readers of the tables that describe the world outside: image sources and benchmarks."""
