"""Where results come from, told to those who collect it."""
