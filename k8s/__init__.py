"""Kubernetes manifests, and their checker."""
