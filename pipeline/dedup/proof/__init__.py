"""Each run's proof of its own deduplication: pairs drawn and compared text by text, and what follows for the whole."""
