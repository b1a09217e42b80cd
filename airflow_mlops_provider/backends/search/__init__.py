"""Searches for trainer and settings."""
