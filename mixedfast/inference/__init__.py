"""Tests, intervals and tables of a fitted model, all from its cross-products."""
