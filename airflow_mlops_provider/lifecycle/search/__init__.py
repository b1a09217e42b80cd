"""What a search may try, how its trials went, and what came of it."""
