"""Call records and their store."""
