"""Tables, models and comparisons that several test files use."""
