"""Prompts as token ids: encoding, chat formats, special tokens, vocabulary, batches."""
