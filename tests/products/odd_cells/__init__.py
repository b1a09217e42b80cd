"""Anomalies: which of the cells in a slide are to be looked at first, learned without a diagnosis."""
