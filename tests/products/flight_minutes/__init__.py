"""Regression: by how many minutes a flight out of New York will be late, with the reference product's data and rules."""
