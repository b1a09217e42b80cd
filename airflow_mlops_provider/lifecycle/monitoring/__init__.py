"""When the loop reacts to what it sees."""
