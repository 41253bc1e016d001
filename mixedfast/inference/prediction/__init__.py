"""Computations for rows after a fit: fitted values, predictions, simulated responses, leverage."""
