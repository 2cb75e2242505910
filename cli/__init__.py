"""The command line. Thin: every command is one call of the library."""
