"""One module per command of `soundsright`. Each has a `command`, which `soundsright.cli.main` loads by name."""
