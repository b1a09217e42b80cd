"""Jobs of a search: opened, tried, concluded, and its winner exported."""
