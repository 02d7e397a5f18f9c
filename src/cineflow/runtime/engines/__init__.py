"""One module per runtime. Each imports its library only when an engine is opened."""
