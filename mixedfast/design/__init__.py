"""From a formula and a table to y, X, Z and the groups."""
