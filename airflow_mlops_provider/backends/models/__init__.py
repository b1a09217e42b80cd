"""Trained models of every flavor: kept, loaded and applied."""
