"""Tuning modes: what a fine-tune trains, starts from, saves and exchanges."""
