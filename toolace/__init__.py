"""ToolACE on Ray: model-aware iterative training and adaptive self-refinement of tool-calling models.

Importing this package loads neither torch, nor ray, nor vllm; the rooms that need them import them when they run.
"""

__version__ = "0.1.0"
