"""What goes back to rows after a fit: values, predictions, simulated responses, leverage.

Rows are read in tiles (`tiles`); what a row needs of the fit is a handful of small blocks of its groups (`joint`).
"""
