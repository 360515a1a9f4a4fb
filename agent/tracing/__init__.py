"""OpenTelemetry traces of calls and their turns."""
