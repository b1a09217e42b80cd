"""Runs, datasets, models and their versions, as a tracking server shows them."""
