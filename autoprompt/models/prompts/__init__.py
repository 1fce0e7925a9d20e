"""From templates and rows to token ids: encoding, chat formats, special tokens, batches."""
