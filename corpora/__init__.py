"""The cards of the embedded corpora, one TOML file each."""
