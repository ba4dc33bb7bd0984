"""Measures of enhanced speech: pure functions of audio."""
