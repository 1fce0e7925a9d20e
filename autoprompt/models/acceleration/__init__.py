"""Faster passes with the same results: kept prefixes, skipped layers, laid-out weights, smaller batches."""
