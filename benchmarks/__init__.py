"""The benchmark house: problems x libraries, run side by side. See README.md here."""
