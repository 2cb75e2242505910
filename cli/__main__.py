"""``python -m a2po.cli``: the command line without its script on the path."""

from a2po.cli.app import main

if __name__ == "__main__":
    main()
