"""Every kernel beside its fastest peer and the machine's limit."""
