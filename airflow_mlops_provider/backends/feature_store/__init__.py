"""Features, offline and online."""
