"""Calls of any number of rows, predicted and answered piece by piece."""
