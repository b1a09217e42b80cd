"""A forecast in as few lines as one needs: how much carbon dioxide will be in the air, one to three quarters ahead."""
