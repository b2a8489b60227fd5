"""`python -m raydistill` is the `raydistill` command."""

from raydistill.cli.main import main

if __name__ == "__main__":
    main()
