"""What the URL of a database may be. Pure."""

from urllib.parse import parse_qs, urlsplit

SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
EXAMPLE = "postgresql://offhook@db.example.org/offhook"


def fault(url: str) -> str | None:
    """What is wrong with it, never repeating it; None where nothing is."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme not in SCHEMES:
        return f"must be a URL of PostgreSQL, such as {EXAMPLE}; for SQLite set `path`"
    if not parts.path.strip("/"):
        return f"names no database; write it after the host, as in {EXAMPLE}"
    if "password" in parse_qs(parts.query):
        return "has its password after a question mark, where logs show it; write USER:PASSWORD@"
    return None


def has_password(url: str) -> bool:
    """Whether it holds one."""
    return urlsplit(url).password is not None
