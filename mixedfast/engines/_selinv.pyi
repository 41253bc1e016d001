"""Selected inverses, for other compiled modules; nothing here is called from Python."""
