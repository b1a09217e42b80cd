"""What is in a table that nobody has declared yet: types, times, labels, and what gives a label away."""
