"""Recordings and demo models of SoundsRight: `datasets/` and `models/` in this folder, each with its licence."""
