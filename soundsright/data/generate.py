"""`python -m soundsright.data.generate` is the command `soundsright generate`."""

if __name__ == "__main__":
    # The command joins this layer to adapters, so it is above both. This module only calls it.
    import runpy

    runpy.run_module("soundsright.cli.commands.generate", run_name="__main__")
