"""The command line: one file per command, each of them parses, calls the library and prints. Nothing else."""
