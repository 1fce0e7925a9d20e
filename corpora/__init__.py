"""The cards of the embedded corpora, one TOML file each, and the rows of those that were written for the package."""
