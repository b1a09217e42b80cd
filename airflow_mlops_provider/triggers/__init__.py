"""Triggers: what a deferred task waits on."""
