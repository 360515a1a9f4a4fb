"""baresip 1.0 as a softphone: a WAV file as its microphone, what it heard as another."""

import asyncio
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

INSTALL = "apt-get install baresip-core"
CODECS = {
    # codec: (as baresip names it, the rate and channels its audio file must have)
    "pcmu": ("pcmu/8000/1", 8000, 1),
    "pcma": ("pcma/8000/1", 8000, 1),
    "g722": ("g722/16000/1", 16000, 1),
    "opus": ("opus/48000/2", 48000, 2),
}
MODULES = (
    *("module g711.so", "module g722.so", "module opus.so", "module aufile.so"),
    *("module aubridge.so", "module sndfile.so", "module_tmp uuid.so"),
    *("module_app account.so", "module_app menu.so"),
)


class Softphone:
    """One call to ``uri``: says ``pcm`` (mono, at its codec's rate) from the start."""

    def __init__(self, folder: Path, codec: str) -> None:
        if shutil.which("baresip") is None:
            pytest.skip(f"baresip is not installed: {INSTALL}")
        self._folder = folder
        self._name, self.rate_hz, self._channels = CODECS[codec]
        folder.mkdir(parents=True)
        self.log = ""

    async def call(self, uri: str, pcm: NDArray[np.int16], seconds: int) -> None:
        """Calls, and hangs up after ``seconds``."""
        microphone = self._folder / "microphone.wav"
        _write(microphone, np.repeat(pcm, self._channels), self.rate_hz, self._channels)
        lines = (
            "module_path /usr/lib/baresip/modules",
            "sip_listen 127.0.0.1:0",
            "net_interface 127.0.0.1",
            "audio_player aubridge,nowhere",
            f"audio_source aufile,{microphone}",
            f"snd_path {self._folder}",
            *MODULES,
        )
        (self._folder / "config").write_text("\n".join(lines) + "\n")
        account = f"<sip:caller@127.0.0.1>;regint=0;audio_codecs={self._name}\n"
        (self._folder / "accounts").write_text(account)
        (self._folder / "contacts").write_text("")
        process = await asyncio.create_subprocess_exec(
            *("baresip", "-f", str(self._folder), "-e", f"/dial {uri}", "-t", str(seconds)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(seconds + 30):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        self.log = output.decode(errors="replace")

    def heard(self) -> tuple[NDArray[np.int16], int]:
        """What arrived, mono, and its rate in Hz."""
        found = sorted(self._folder.glob("dump-*-dec.wav"))
        assert found, f"nothing was heard; the softphone said: {self.log[-2000:]}"
        with wave.open(str(found[0])) as file:
            channels, rate_hz = file.getnchannels(), file.getframerate()
            pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return pcm.reshape(-1, channels)[:, 0].copy(), rate_hz


def _write(path: Path, pcm: NDArray[np.int16], rate_hz: int, channels: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.tobytes())
