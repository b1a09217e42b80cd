"""A proposal as a product's folder: plain Python, as a person would have written it, to be read and changed."""
