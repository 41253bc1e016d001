"""Doors shaped like other packages'."""
