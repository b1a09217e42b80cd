"""Sensors: they wait for what comes from outside."""
