"""Times of every kernel, its fastest peer and the machine's limit."""
