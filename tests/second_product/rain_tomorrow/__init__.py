"""A second product, to show that one is a folder: will it rain tomorrow in Seattle."""
