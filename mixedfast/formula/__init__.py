"""lme4's formula language."""
