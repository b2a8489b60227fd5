"""The `raydistill` command: one file a subcommand, the dispatcher in `main`, settings from flags in `arguments`."""
