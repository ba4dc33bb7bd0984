"""`python -m soundsright.data.generate` is the command `soundsright generate`."""

if __name__ == "__main__":
    # The command joins adapters to this layer, so it lives above it, and this module only hands over to it.
    import runpy

    runpy.run_module("soundsright.cli.commands.generate", run_name="__main__")
