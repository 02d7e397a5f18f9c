"""Latency per frame, in process and through the server, next to OpenCV on the same frames."""
