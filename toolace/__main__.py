"""`python -m toolace`: the `toolace` command."""

from toolace.cli.main import main

if __name__ == "__main__":
    main()
