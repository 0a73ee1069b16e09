"""Hardware as data: chips and technologies in YAML, read by `bitsim.hw`."""
