"""What the box tells Prometheus."""
