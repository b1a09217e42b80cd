"""Optuna: the trials of a search, in a database that many workers share."""
