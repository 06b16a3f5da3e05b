"""Manifests checked without a cluster: rendered, against schemas, the operator's rules, each other and the image."""
