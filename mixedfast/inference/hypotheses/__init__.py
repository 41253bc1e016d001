"""Tests of coefficients and terms."""
