"""Several processes behind one port: who starts them, and how each answers for all."""
