"""Expectations of data."""
