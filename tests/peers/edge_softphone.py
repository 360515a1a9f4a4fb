"""baresip as a phone that insists on TLS and SRTP, and what it heard."""

import asyncio
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
from edge_processes import PASSWORD, Edge
from numpy.typing import NDArray

RATE_HZ = 8000
SOURCE_HZ = 700
MODULES = (
    *("module g711.so", "module srtp.so", "module aufile.so", "module aubridge.so"),
    *("module sndfile.so", "module_tmp uuid.so", "module_app account.so", "module_app menu.so"),
)
needs_softphone = pytest.mark.skipif(
    not (shutil.which("baresip") and shutil.which("openssl")),
    reason="needs baresip and openssl: apt-get install baresip-core openssl",
)


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return certificate, key


async def call_over_tls(
    folder: Path, edge: Edge, authority: Path, seconds: int, wait: bool = False
) -> str:
    """Registers and waits for a call, or places one; returns what the softphone printed."""
    account = "regint=60;answermode=auto" if wait else "regint=0"
    await asyncio.to_thread(_set_up, folder, edge, authority, seconds, account)
    dial = () if wait else ("-e", f"/dial sip:agent@127.0.0.1:{edge.tls_port}")
    phone = await asyncio.create_subprocess_exec(
        *("baresip", "-f", str(folder), *dial, "-t", str(seconds)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(seconds + 30):
            output, _ = await phone.communicate()
    finally:
        if phone.returncode is None:
            phone.kill()
            await phone.wait()
    return output.decode(errors="replace")


def _set_up(folder: Path, edge: Edge, authority: Path, seconds: int, account: str) -> None:
    folder.mkdir()
    tone = np.sin(2 * np.pi * SOURCE_HZ * np.arange(RATE_HZ * seconds) / RATE_HZ) * 8000
    with wave.open(str(folder / "microphone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(tone.astype(np.int16).tobytes())
    lines = (
        "module_path /usr/lib/baresip/modules",
        "sip_listen 127.0.0.1:0",
        f"sip_cafile {authority}",
        "net_interface 127.0.0.1",
        "audio_player aubridge,nowhere",
        f"audio_source aufile,{folder / 'microphone.wav'}",
        f"snd_path {folder}",
        *MODULES,
    )
    (folder / "config").write_text("\n".join(lines) + "\n")
    (folder / "accounts").write_text(
        f"<sip:alice@127.0.0.1:{edge.tls_port};transport=tls>;auth_user=alice;"
        f"auth_pass={PASSWORD};{account};mediaenc=srtp-mand;audio_codecs=pcma/8000/1\n"
    )
    (folder / "contacts").write_text("")


def loudest_hz(folder: Path) -> float:
    """The strongest tone in what the phone heard; 0 where it heard nothing."""
    found = sorted(folder.glob("dump-*-dec.wav"))
    if not found:
        return 0.0
    with wave.open(str(found[0])) as file:
        pcm: NDArray[np.int16] = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        rate_hz = file.getframerate()
    if len(pcm) < rate_hz // 2 or np.abs(pcm).max() < 500:
        return 0.0
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * rate_hz / len(pcm))
