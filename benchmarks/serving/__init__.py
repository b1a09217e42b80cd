"""Servers to compare with, and a client that none of them has to wait for."""
