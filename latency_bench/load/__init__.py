"""Many callers for a long time: capacity and soak."""
