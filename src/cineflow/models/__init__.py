"""Network architectures, one file each; they import torch, so import the file you need."""
