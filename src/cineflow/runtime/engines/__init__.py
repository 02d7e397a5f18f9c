"""One module per runtime; each imports its library only when an engine is opened."""
