"""A team's CI, a module for each system; what they have in common is in ``base``."""
