"""One module per paper: its tables and figures, ours beside theirs."""
