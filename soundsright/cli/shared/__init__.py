"""Helpers that several commands use: options, settings, sandboxes, tables, progress, servers and stopping."""
