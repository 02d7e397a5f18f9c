"""Accuracy of the default tracker and its peers on phantoms with known motion."""
