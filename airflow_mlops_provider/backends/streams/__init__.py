"""Servers of streams, one module each: what came since, in order, and what the server has given up since."""
