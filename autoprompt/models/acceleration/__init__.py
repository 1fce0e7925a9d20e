"""Faster passes with the same results: prefix cache, skipped layers, packed weights, micro-batches."""
