"""A DLRM trained on MovieLens 100K, and the demo that serves it."""
