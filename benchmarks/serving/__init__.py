"""Latency per frame, in process and through the server, beside OpenCV on the same frames."""
