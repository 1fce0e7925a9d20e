"""Ask/tell strategies, one a file."""
