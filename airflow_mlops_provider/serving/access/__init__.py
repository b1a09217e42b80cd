"""Who may call the model server, for what, and how a caller's token is made."""
