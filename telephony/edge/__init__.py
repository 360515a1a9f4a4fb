"""The edge in front of several workers: configuration, and the way to speak to it."""
