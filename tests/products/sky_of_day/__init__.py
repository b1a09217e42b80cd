"""Several classes: which sky a day had, by what its instruments measured."""
