"""What a result looks like: pages of text and HTML, plots, tidy tables."""
