"""How far data has moved."""
