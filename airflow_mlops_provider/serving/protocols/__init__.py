"""The model server's other protocols: each reads calls and writes answers; all else is as for ``/predict``."""
