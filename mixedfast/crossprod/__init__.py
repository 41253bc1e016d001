"""Cross-products: sums over rows, in memory, in batches or in an engine."""
