"""Who may register or call with a password: the table that Kamailio's ``db_text`` reads.

A line holds the user and HA1 (RFC 7616), the MD5 of user, realm and password: not the password,
but worth as much to whoever reads it, so the file is for its owner alone.
"""

import hashlib
import os
import re
from pathlib import Path

TABLE = "db/credentials"
HEADER = "key_name(string) key_type(int) value_type(int) key_value(string) expires(int)\n"
USER = re.compile(r"[A-Za-z0-9+_.-]{1,64}")


def set_user(text: str, user: str, realm: str, password: str) -> str:
    """The table with ``user`` added, or with a new password. Raises ValueError on a bad name."""
    if not USER.fullmatch(user):
        raise ValueError(
            f"{user!r} cannot be a user: letters, digits and any of + _ . - are, 64 at most"
        )
    ha1 = hashlib.md5(f"{user}:{realm}:{password}".encode()).hexdigest()
    return without_user(text, user) + f"{user}:0:0:{ha1}:0\n"


def without_user(text: str, user: str) -> str:
    """The table without ``user``."""
    rows = [line for line in text.splitlines()[1:] if line and line.split(":")[0] != user]
    return HEADER + "".join(f"{row}\n" for row in rows)


def write_table(folder: Path, text: str) -> None:
    """Replaces the table in the edge's folder in one step. Raises OSError."""
    path = folder / TABLE
    new = path.with_name("credentials.new")
    new.touch(mode=0o600)
    new.write_text(text)
    # Kamailio takes a table of the same second for the one it has.
    later_s = int(max(new.stat().st_mtime, path.stat().st_mtime + 1 if path.exists() else 0))
    os.utime(new, (later_s, later_s))
    os.replace(new, path)
