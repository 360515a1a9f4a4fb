"""Pure arithmetic from measured usage to dollars."""
