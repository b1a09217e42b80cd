"""The repository of a product's code: git, and the forges that take pull requests."""
