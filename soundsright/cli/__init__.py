"""The command line: the only place that joins adapters to services."""
