"""ToolACE-DEV (arXiv 2505.07512): tool learning decomposed into sub-tasks, and evolution on the model's own data."""
