"""Notifiers: how people hear of it."""
