"""From cross-products to the estimates."""
