"""A box in simulated time: what more calls, or another processor, would do to it."""
