"""Ranking: in which order a traveller is to be shown the ways to get there."""
