"""Benchmarks of tool calling, each from a local folder in its official layout, scored by its authors' rules."""
