"""baresip 1.0 from Debian as a softphone: it plays one file and records another."""

import shutil
import subprocess
import tempfile
import wave
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sip_peers import LIMIT_S, free_port, need

MODULES = Path("/usr/lib/baresip/modules")
CODECS = {
    # (as baresip wants it spelt, rate of the file it can play, its channels)
    "pcmu": ("PCMU/8000/1", 8000, 1),
    "pcma": ("PCMA/8000/1", 8000, 1),
    "g722": ("G722/16000/1", 16000, 1),
    "opus": ("opus/48000/2", 48000, 2),
}
SPOKEN_HZ = 1000.0


@dataclass
class Softphone:
    """A baresip that runs."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    port: int

    def finish(self, limit_s: float = LIMIT_S) -> "Softphone":
        """Waits for its end."""
        try:
            self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(LIMIT_S)
            raise AssertionError(f"baresip still runs: {self.log()}") from None
        return self

    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text(errors="replace")[-6000:]

    def recorded(self) -> tuple[NDArray[np.int16], int]:
        """What it heard, as mono, and the rate."""
        (path,) = self.folder.glob("dump-*dec.wav")
        with wave.open(str(path)) as file:
            pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
            return pcm[:: file.getnchannels()], file.getframerate()


def start(
    codec: str,
    seconds: int,
    *,
    dial: str = "",
    parameters: str = "",
    config: str = "",
    port: int = 0,
) -> Softphone:
    """A softphone that dials, or waits for a call and takes it, and is gone after ``seconds``."""
    program = need("baresip", "baresip-core")
    folder = Path(tempfile.mkdtemp(prefix="softphone-"))
    spelt, rate_hz, channels = CODECS[codec]
    _speech(folder / "in.wav", seconds + 2, rate_hz, channels)
    port = port or free_port()
    modules = "\n".join(
        f"module {name}.so" for name in ("g711", "g722", "opus", "aufile", "sndfile", "srtp")
    )
    (folder / "config").write_text(
        f"module_path {MODULES}\nsip_listen 127.0.0.1:{port}\nnet_interface 127.0.0.1\n"
        f"audio_source aufile,{folder}/in.wav\nsnd_path {folder}\n"
        f"{modules}\nmodule_app account.so\nmodule_app menu.so\nmodule_tmp uuid.so\n{config}"
    )
    (folder / "accounts").write_text(
        f"<sip:bob@127.0.0.1{parameters.partition('|')[0]}>;regint=0;answermode=auto;"
        f"audio_codecs={spelt}{parameters.partition('|')[2]}\n"
    )
    (folder / "contacts").write_text("")
    command = [program, "-f", str(folder), "-t", str(seconds)]
    if dial:
        command += ["-e", f"/dial {dial}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder
        )
    phone = Softphone(process, folder, port)
    weakref.finalize(phone, _reap, process, folder)
    return phone


def _speech(path: Path, seconds: int, rate_hz: int, channels: int) -> None:
    pcm = 8000 * np.sin(2 * np.pi * SPOKEN_HZ * np.arange(seconds * rate_hz) / rate_hz)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(pcm.astype(np.int16), channels).tobytes())


def _reap(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    if process.poll() is None:
        process.kill()
        process.wait(LIMIT_S)
    shutil.rmtree(folder, ignore_errors=True)
