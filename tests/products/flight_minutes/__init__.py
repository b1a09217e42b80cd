"""Regression: by how many minutes a flight will be late, with the reference product's data and rules."""
