"""Artifact stores, a module for each scheme of a root's URI; what they promise is in ``base``."""
