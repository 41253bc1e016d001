"""Generalized linear mixed models: families, conditional modes, Laplace, quadrature, the fit."""
