"""Which limits were crossed, and when the loop reacts."""
