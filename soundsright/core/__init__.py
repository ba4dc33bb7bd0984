"""Types, errors and ports: the standard library and NumPy only."""
