"""What motion means: composition, strain, measurements, beats, and how far to trust a frame."""
