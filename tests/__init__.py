"""A package, so that `tests.core` is ours where site-packages holds a folder of this name, too."""
