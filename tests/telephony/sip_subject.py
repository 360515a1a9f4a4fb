"""The SIP door as a process of its own, told what to do in lines of JSON.

A crash of the native stack then fails one test and not pytest. What it does with a call is
said by the name that was dialled (``refuse-404``, ``crash``, ``wait``, ``late``, ``bye``,
``echo``, ``silent``; a tone for anything else); what it sees it prints, one event a line.
"""

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from baresip import _native

from latency_bench.tone_agent import play_tone
from telephony import sip
from telephony.sip import SipStack
from telephony.sip_error import SipError
from telephony.sip_settings import SipAccount, SipSettings
from telephony.transport import (
    CallGone,
    Dial,
    Digit,
    Line,
    Ringing,
    TransferFailed,
    frame_bytes,
)

LATE_S = 0.4
BURST_FRAMES = 4
HEARD_S = 0.5
"""How much of the far end's audio is kept to say what it was."""


def say(event: str, **facts: object) -> None:
    """One event, for the test that reads."""
    print(json.dumps({"event": event, **facts}), flush=True)


class Heard:
    """What a call's far end sounded like lately."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._pcm = bytearray()
        self.frames = 0
        self.began_s = time.monotonic()

    def take(self, pcm: bytes) -> None:
        self.frames += 1
        self._pcm += pcm
        del self._pcm[: -int(HEARD_S * self._line.sample_rate_hz) * 2]

    def facts(self) -> dict[str, object]:
        samples = np.frombuffer(bytes(self._pcm), np.int16).astype(float)
        hz = 0.0
        if len(samples):
            spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
            hz = float(np.argmax(spectrum) * self._line.sample_rate_hz / len(samples))
        return {
            "frames": self.frames,
            "elapsed_s": round(time.monotonic() - self.began_s, 3),
            "hz": round(hz, 1),
            "rms": round(float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0, 1),
        }


class Subject:
    """The stack and its calls."""

    def __init__(self, settings: SipSettings, refused: Container[str]) -> None:
        self.settings = settings
        self.stack = SipStack(settings, lambda host: host not in refused)
        self.lines: dict[str, Line] = {}
        self.heard: dict[str, Heard] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.stopped = asyncio.Event()

    async def open(self) -> None:
        await self.stack.open(self.on_call)
        watch = asyncio.create_task(self._watch(self.stack))
        self.tasks.add(watch)
        say("ready", port=self.stack.port)

    async def _watch(self, stack: SipStack) -> None:
        await stack.dead.wait()
        say("dead", error="the stack died")

    async def on_call(self, ringing: Ringing) -> None:
        name = ringing.dialled
        say(
            "ringing",
            call=name,
            caller=ringing.caller,
            source=ringing.source,
            trunk=ringing.trunk,
        )
        if name.startswith("refuse-"):
            status, *after = map(int, name.split("-")[1:])
            await ringing.reject(status, "Not Here", after[0] if after else None)
            return
        if name.startswith("wait"):
            return
        if name.startswith("crash"):
            raise RuntimeError("as an agent with a fault does")
        if name.startswith("late"):
            await asyncio.sleep(LATE_S)
        try:
            line = await ringing.answer()
        except CallGone as error:
            say("gone", call=name, error=str(error))
            return
        await self.talk(name, line)

    async def talk(self, name: str, line: Line) -> None:
        self.lines[name] = line
        heard = self.heard[name] = Heard(line)
        echo = name.startswith("echo")
        say("answered", call=name, rate_hz=line.sample_rate_hz)
        silent = echo or name.startswith("silent")
        sending = None if silent else asyncio.create_task(play_tone(line))
        if name.startswith("bye"):
            await asyncio.sleep(0.3)
            await line.hang_up()
        try:
            while (got := await line.receive()) is not None:
                if isinstance(got, bytes):
                    heard.take(got)
                    if echo:
                        await line.send(got)
                elif isinstance(got, Digit):
                    say("digit", call=name, key=got.key, duration_ms=got.duration_ms)
                else:
                    say("held", call=name, on=got.on)
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            self.lines.pop(name, None)
            self.heard.pop(name, None)
            say("over", call=name, cause=line.cause.value, **heard.facts())

    # -- what the test asks for

    async def obey(self, command: dict[str, Any]) -> None:
        do, call = command["do"], command.get("call", "")
        if do == "dial":
            await self._dial(command)
        elif do == "heard":
            say("heard", call=call, rate_hz=self.lines[call].sample_rate_hz,
                **self.heard[call].facts())  # fmt: skip
        elif do == "counts":
            self._counts()
        elif do == "registrations":
            say("registrations", **self.stack.registrations)
        elif do == "drain":
            await self.stack.drain()
            say("draining")
        elif do == "kill-thread":
            # The native loop returns, and nobody of ours asked it to.
            assert _native.lib.bp_cmd(_native.lib.BP_CMD_STOP, 0, _native.ffi.NULL) == 0
        elif do == "reopen":
            await self.stack.close()
            say("closed")
            await self.open()
        elif do == "stop":
            await self.stack.close()
            say("closed")
            self.stopped.set()
        else:
            await self._control(do, call, command)

    async def _dial(self, command: dict[str, Any]) -> None:
        if "stall_s" in command:
            # Runs once the INVITE is on its way: the loop learns everything at once, later.
            asyncio.get_running_loop().call_soon(time.sleep, command["stall_s"])
        dialled = await self.stack.dial(
            Dial(
                command["target"],
                trunk=command.get("trunk", ""),
                caller_id=command.get("caller_id", ""),
                answer_limit_s=command.get("limit_s", 5.0),
            )
        )
        call = command["call"]
        say(
            "dialled",
            call=call,
            outcome=dialled.outcome.value,
            status=dialled.status,
            reason=dialled.reason,
        )
        if dialled.line is not None:
            await self.talk(call, dialled.line)

    async def _control(self, do: str, call: str, command: dict[str, Any]) -> None:
        line = self.lines[call]
        assert line.control is not None
        try:
            if do == "digits":
                await line.control.send_digits(command["digits"])
            elif do == "hold":
                await line.control.hold()
            elif do == "resume":
                await line.control.resume()
            elif do == "hang-up":
                await line.hang_up()
            elif do == "burst":
                await _burst(line, flush=bool(command["flush"]))
            elif do == "transfer":
                await line.control.transfer(command["target"])
            else:
                raise ValueError(f"unknown command {do}")
        except (TransferFailed, ValueError) as error:
            say("refused", call=call, do=do, error=str(error))
            return
        say("done", call=call, do=do)

    def _counts(self) -> None:
        me = psutil.Process()
        say(
            "counts",
            active=self.stack.active_calls,
            threads=me.num_threads(),
            descriptors=me.num_fds(),
            rss=me.memory_info().rss,
            tasks=len(asyncio.all_tasks()),
            cpu_s=sum(me.cpu_times()[:2]),
        )


async def _burst(line: Line, *, flush: bool) -> None:
    """As much as a line takes without waiting; then, perhaps, takes it back."""
    loud = np.full(frame_bytes(line.sample_rate_hz) // 2, 12000, np.int16).tobytes()
    for _ in range(BURST_FRAMES):
        await line.send(loud)
    if flush:
        line.flush()


async def run(settings: SipSettings, refused: Container[str]) -> None:
    """Obeys standard input until it ends or says stop."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    subject = Subject(settings, refused)
    try:
        await subject.open()
    except SipError as error:
        say("error", error=str(error))
        return
    while not subject.stopped.is_set():
        line = await reader.readline()
        if not line:
            await subject.stack.close()
            return
        task = asyncio.create_task(subject.obey(json.loads(line)))
        subject.tasks.add(task)
        task.add_done_callback(_report)
        if json.loads(line)["do"] in ("stop", "reopen"):
            await task


def _report(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        say("error", error=repr(error))


def main() -> None:
    """The command line: the fields of `SipSettings` as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=json.loads)
    parser.add_argument("--answer-limit", type=float, default=sip.ANSWER_LIMIT_S)
    parser.add_argument("--refuse", action="append", default=[], metavar="HOST")
    args = parser.parse_args()
    logging.basicConfig(
        level=logging.DEBUG if args.settings.get("trace") else logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s.%(msecs)03d %(name)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
    )
    sip.ANSWER_LIMIT_S = args.answer_limit
    given = args.settings
    for key in ("tls_certificate", "tls_ca"):
        if key in given:
            given[key] = Path(given[key])
    for key in ("codecs",):
        if key in given:
            given[key] = tuple(given[key])
    given["accounts"] = tuple(SipAccount(**account) for account in given.get("accounts", ()))
    asyncio.run(run(SipSettings(**{"port": 0, **given}), args.refuse))


if __name__ == "__main__":
    main()
