// What can go wrong, in words: what happened, and what to do about it.

export class Fault extends Error {
  /**
   * @param {string} name short and stable, such as "microphone-denied"
   * @param {string} what what happened
   * @param {string} remedy what the reader can do
   */
  constructor(name, what, remedy) {
    super(what);
    this.name = name;
    this.remedy = remedy;
  }
}

/** The fault behind an error of getUserMedia. */
export function microphoneFault(error) {
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return new Fault(
        "microphone-denied",
        "The browser did not allow the microphone.",
        "Allow it in the site settings beside the address, then press Start again.",
      );
    case "NotFoundError":
    case "OverconstrainedError":
      return new Fault(
        "microphone-missing",
        "No microphone was found.",
        "Plug one in, or switch it on in the system's sound settings, then press Start again.",
      );
    case "NotReadableError":
    case "AbortError":
      return new Fault(
        "microphone-busy",
        "The microphone could not be opened.",
        "Close other programs that use it, or choose another one, then press Start again.",
      );
    default:
      return new Fault(
        "microphone-failed",
        `The microphone failed: ${error.message || error.name}.`,
        "Choose another microphone, then press Start again.",
      );
  }
}

/** Browsers hide the microphone from pages that came over plain HTTP from another machine. */
export function insecureOrigin(origin) {
  return new Fault(
    "insecure-origin",
    `The browser gives no microphone to ${origin}, because the address is not secure.`,
    "Open the page as http://127.0.0.1 on the box itself, forward the port over SSH, " +
      "or put HTTPS in front of the box.",
  );
}

export function unreachable(origin) {
  return new Fault(
    "unreachable",
    `No answer from the box at ${origin}.`,
    "Check that “offhook serve” is running there, then press Start again.",
  );
}

export function noAudioPath() {
  return new Fault(
    "no-audio-path",
    "The box answered, but no audio path to it opened.",
    "Let UDP through between this browser and the box: a firewall, a VPN or a browser " +
      "policy is in the way.",
  );
}

/** The fault behind an HTTP answer that is not a success. */
export function refusal(status, said) {
  const reason = said ? ` It said: ${said}` : "";
  if (status === 401) {
    return new Fault("token-needed", "The box asks for its access token.", "Enter it below.");
  }
  if (status === 503) {
    return new Fault(
      "box-full",
      `The box takes no more calls.${reason}`,
      "Wait until a call ends, or raise the limit in its configuration, then press Start again.",
    );
  }
  return new Fault(
    "refused",
    `The box refused the call (HTTP ${status}).${reason}`,
    "Its log says more. Press Start to try again.",
  );
}
