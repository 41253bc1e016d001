"""Denominator degrees of freedom."""
