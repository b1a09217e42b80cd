"""Delivered files and their types: found in the landing root, read, and refused by record, column and value."""
