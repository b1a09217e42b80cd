"""Acme's parts: one of each kind, each as short as it can be."""
