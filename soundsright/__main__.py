"""`python -m soundsright` is the command `soundsright`."""

from soundsright.cli.main import main

if __name__ == "__main__":
    main()
