// One call's WebRTC connection. Events: "media" (the agent's stream), "message" (one JSON event
// of docs/events.md), "closed" (the cause).

import { exchangeOffer } from "./box.js";
import { noAudioPath } from "./faults.js";

const GATHERING_LIMIT_MS = 1000;
const CONNECTING_LIMIT_MS = 10_000;
const PING_EVERY_MS = 1000; // the box takes 3 s of silence for a caller who is gone
const RECOVERY_LIMIT_MS = 5000;
const GOODBYE_LIMIT_MS = 200;

export class Connection extends EventTarget {
  #peer = new RTCPeerConnection(); // no ICE servers: the box is reached directly
  #events = this.#peer.createDataChannel("events");
  #abort = new AbortController();
  #sender = null;
  #pinging = 0;
  #recovering = 0;
  #closed = false;

  /** Resolves once audio flows; throws a Fault, or an AbortError where `close` came first. */
  async open(stream) {
    const peer = this.#peer;
    peer.addEventListener("track", (event) => this.#tell("media", event.streams[0]));
    this.#events.addEventListener("message", (event) => this.#receive(event.data));
    this.#events.addEventListener("close", () => this.close("connection lost"));
    this.#events.addEventListener("open", () => {
      this.#pinging = setInterval(() => this.#send("ping"), PING_EVERY_MS);
      this.#send("ping");
    });
    const [track] = stream.getAudioTracks();
    const line = peer.addTransceiver(track, { direction: "sendrecv", streams: [stream] });
    this.#sender = line.sender;

    const aborted = this.#abort.signal;
    await peer.setLocalDescription();
    await gathered(peer, aborted);
    const answer = await exchangeOffer(peer.localDescription, aborted);
    aborted.throwIfAborted();
    await peer.setRemoteDescription({ type: answer.type, sdp: answer.sdp });
    await connected(peer, aborted);
    peer.addEventListener("connectionstatechange", () => this.#watch());
  }

  /** Speaks through another microphone from here on. */
  async replace(track) {
    await this.#sender?.replaceTrack(track);
  }

  /** Says goodbye, gives the box a moment to answer it, and closes. */
  async hangUp() {
    if (this.#send('{"type":"hangup"}')) {
      await Promise.race([
        new Promise((done) => this.addEventListener("closed", done, { once: true })),
        new Promise((done) => setTimeout(done, GOODBYE_LIMIT_MS)),
      ]);
    }
    this.close("caller hung up");
  }

  close(cause) {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#pinging);
    clearTimeout(this.#recovering);
    this.#abort.abort();
    this.#events.close();
    this.#peer.close();
    this.#tell("closed", cause);
  }

  #send(text) {
    if (this.#events.readyState !== "open") return false;
    this.#events.send(text);
    return true;
  }

  #receive(data) {
    const message = JSON.parse(data);
    this.#tell("message", message);
    if (message.type === "call.ended") this.close(message.cause);
    if (message.type === "signalling" && message.message?.type === "peerLeft") {
      this.close("the box hung up");
    }
  }

  #watch() {
    clearTimeout(this.#recovering);
    if (this.#peer.connectionState === "failed") this.close("connection lost");
    if (this.#peer.connectionState === "disconnected") {
      this.#recovering = setTimeout(() => this.close("connection lost"), RECOVERY_LIMIT_MS);
    }
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** All candidates go into the one offer; a slow network interface must not hold it up. */
function gathered(peer, aborted) {
  return until(peer, "icegatheringstatechange", GATHERING_LIMIT_MS, aborted, () => {
    return peer.iceGatheringState === "complete";
  });
}

async function connected(peer, aborted) {
  const state = () => peer.connectionState;
  await until(peer, "connectionstatechange", CONNECTING_LIMIT_MS, aborted, () => {
    return state() === "connected" || state() === "failed";
  });
  if (state() !== "connected") throw noAudioPath();
}

/** Waits for a condition that an event announces, for `limitMs` at most. */
function until(target, event, limitMs, aborted, holds) {
  return new Promise((resolve, reject) => {
    const done = (settle) => {
      clearTimeout(limit);
      target.removeEventListener(event, check);
      aborted.removeEventListener("abort", stop);
      settle();
    };
    const check = () => holds() && done(resolve);
    const stop = () => done(() => reject(aborted.reason));
    const limit = setTimeout(() => done(resolve), limitMs);
    target.addEventListener(event, check);
    aborted.addEventListener("abort", stop);
    if (aborted.aborted) stop();
    else check();
  });
}
