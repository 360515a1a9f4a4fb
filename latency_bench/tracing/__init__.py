"""What an agent tells of its own turns, beside what the caller measured."""
