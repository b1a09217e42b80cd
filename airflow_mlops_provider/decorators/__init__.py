"""Decorators of ``@task``, by the name of what they make of a function."""
