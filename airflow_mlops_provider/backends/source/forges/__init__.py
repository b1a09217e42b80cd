"""Forges, a module for each; what they have in common is in ``base``."""
