// The caller's microphone: which one, opening it, and how loud it is.

import { insecureOrigin, microphoneFault } from "./faults.js";

const CHOICE_KEY = "offhook.microphone";
const QUIETEST_DB = -60;
const SPOKEN_EVERY_MS = 500; // the meter's value for assistive technology

/** 0 at -60 dBFS and below, 1 at full scale. */
export function levelOf(samples) {
  let energy = 0;
  for (const sample of samples) energy += sample * sample;
  const db = 10 * Math.log10(energy / samples.length + 1e-12);
  return Math.min(1, Math.max(0, 1 - db / QUIETEST_DB));
}

export class Microphone extends EventTarget {
  #select;
  #meter;
  #stream = null;
  #context = null;
  #frame = 0;

  /** Events: "changed" (another stream is open), "lost" (the device went away). */
  constructor(select, meter) {
    super();
    this.#select = select;
    this.#meter = meter;
    select.addEventListener("change", () => {
      localStorage.setItem(CHOICE_KEY, select.value);
      if (this.#stream) this.dispatchEvent(new Event("changed"));
    });
    navigator.mediaDevices?.addEventListener("devicechange", () => this.list());
  }

  /** Fills the choice. Names are known once the microphone has been allowed. */
  async list() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    const inputs = devices.filter((device) => device.kind === "audioinput" && device.deviceId);
    const options = inputs.map((device, at) => {
      return new Option(device.label || `Microphone ${at + 1}`, device.deviceId);
    });
    if (!inputs.some((device) => device.deviceId === "default")) {
      options.unshift(new Option("System default", ""));
    }
    this.#select.replaceChildren(...options);
    const chosen = localStorage.getItem(CHOICE_KEY);
    if (options.some((option) => option.value === chosen)) this.#select.value = chosen;
  }

  /** Asks for the chosen microphone; resolves to its stream. Throws a Fault. */
  async open() {
    if (!navigator.mediaDevices) throw insecureOrigin(location.origin);
    const id = localStorage.getItem(CHOICE_KEY);
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: {
          // Not `exact`: a microphone that was unplugged since falls back to the default.
          ...(id && { deviceId: { ideal: id } }),
          echoCancellation: true,
          noiseSuppression: true,
          autoGainControl: true,
          channelCount: 1,
        },
      });
    } catch (error) {
      throw microphoneFault(error);
    }
    this.close();
    this.#stream = stream;
    stream.getAudioTracks()[0].addEventListener("ended", () => {
      if (this.#stream === stream) this.dispatchEvent(new Event("lost"));
    });
    this.#measure(stream);
    await this.list();
    return stream;
  }

  /** Lets go of the microphone; with `only`, unless another stream has taken over since. */
  close(only = this.#stream) {
    if (only !== this.#stream) return;
    cancelAnimationFrame(this.#frame);
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#context?.close();
    this.#stream = null;
    this.#context = null;
    this.#show(0);
    this.#speak(0);
  }

  #measure(stream) {
    this.#context = new AudioContext();
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 1024;
    this.#context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let shown = 0;
    let spokenAt = 0;
    const tick = (now) => {
      analyser.getFloatTimeDomainData(samples);
      shown = Math.max(levelOf(samples), shown * 0.92); // rises at once, falls gently
      this.#show(shown);
      if (now - spokenAt > SPOKEN_EVERY_MS) {
        spokenAt = now;
        this.#speak(shown);
      }
      this.#frame = requestAnimationFrame(tick);
    };
    this.#frame = requestAnimationFrame(tick);
  }

  #show(level) {
    this.#meter.style.setProperty("--level", level.toFixed(3));
  }

  #speak(level) {
    this.#meter.setAttribute("aria-valuenow", Math.round(level * 100));
  }
}
