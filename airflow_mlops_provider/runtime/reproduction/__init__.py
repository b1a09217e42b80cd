"""A recorded result made again: which jobs, with which code, and where it first differs."""
