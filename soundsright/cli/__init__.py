"""The command line: one module per command. It joins adapters to services, like `soundsright.library`."""
