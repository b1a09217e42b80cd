"""Where a product's model server runs, and what a container is given on a cluster."""
