"""Serving: an OpenAI-compatible endpoint on Ray Serve that refines its own tool calls.

Nothing is imported here: the pure parts (`config`, `protocol`, `refining`, `streaming`, `auth`, `limits`) load without
Ray or vLLM, `ingress` and `app` need both.
"""
