"""Utterances, noise, rooms and the sets drawn from them."""
