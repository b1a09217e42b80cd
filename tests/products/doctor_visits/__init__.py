"""A product in as few lines as one needs: how often will somebody see a doctor in a year; counts, of 20,190 persons."""
