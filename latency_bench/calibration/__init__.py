"""The error of the measurement itself."""
