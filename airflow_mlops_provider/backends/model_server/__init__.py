"""Where a product's model server runs: on this machine, on a Kubernetes cluster, or at a URL that others keep."""
