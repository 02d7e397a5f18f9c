"""A package, so that `tests.core` is ours where site-packages also holds a folder of this name."""
