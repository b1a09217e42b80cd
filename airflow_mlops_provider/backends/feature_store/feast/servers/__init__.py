"""Online stores that are servers: how each is reached beyond its client's own ways, and what its errors say."""
