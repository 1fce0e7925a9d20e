"""Model families, one file each: causal, masked, encoder-decoder, classifier."""
