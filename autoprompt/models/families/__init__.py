"""One model family a file: causal, masked, encoder-decoder, classifier."""
