"""Certificate authorities and certificates for tests, made with openssl."""

import subprocess
from pathlib import Path

from sip_peers import LIMIT_S, need

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(
        [need("openssl", "openssl"), *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=LIMIT_S,
    )


def make_authority(folder: Path, name: str) -> Path:
    """``NAME.pem``: a self-signed authority; its key is beside it."""
    _openssl(
        folder,
        *("req", "-x509", *NEW_KEY, "-days", "2"),
        *("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"),
    )
    return folder / f"{name}.pem"


def make_certificate(folder: Path, authority: Path, name: str, subject: str) -> Path:
    """``NAME.pem``: certificate and key, for ``subject`` such as ``IP:127.0.0.1``."""
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={subject}\n")
    common_name = subject.partition(":")[2]
    _openssl(
        folder,
        *("req", "-new", *NEW_KEY, "-subj", f"/CN={common_name}"),
        *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
    )
    _openssl(
        folder,
        *("x509", "-req", "-in", f"{name}.csr", "-days", "2", "-CAcreateserial"),
        *("-CA", str(authority), "-CAkey", str(authority.with_suffix(".key"))),
        *("-extfile", str(extensions), "-out", f"{name}.crt"),
    )
    whole = folder / f"{name}.pem"
    whole.write_text((folder / f"{name}.crt").read_text() + (folder / f"{name}.key").read_text())
    return whole
