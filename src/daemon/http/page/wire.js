// The connection to the daemon: the stream (WebSocket `biosigd.v1`) and the status, each with its own way of coming back.
// Nothing here knows what is drawn, so whatever the page does wrong, it still says truly whether it is connected and what it missed.

const MAGIC = 0x31475342; // "BSG1" as a little-endian word
const HEADER_BYTES = 32;
const RETRY_S = [0.5, 1, 2, 4, 8, 15]; // after that, every 15 s for ever: a page left open overnight finds its daemon again
const HELLO_WITHIN_MS = 8000; // a connection that opens and says no more is as good as none
const STATUS_EVERY_MS = 2000;
const STATUS_WITHIN_MS = 5000;

/** Why there is no status where the session is over: the daemon was restarted, or its token changed. */
export const NEEDS_TOKEN = "needs a token";

export const FLAGS = { gap: 1, suspect: 2, saturated: 4, leadOff: 8 };

/** What the daemon means by closing, in words for a person. */
const CLOSED = {
  1001: "daemon stopped",
  1008: "refused by the daemon",
  1013: "too slow",
};

/**
 * One stream from the daemon. `on` holds four functions:
 * `hello(stream, hello)`, `block(block)`, `marker(marker)`, `state(name, why, retryAtMs, reason)`, where `name` is `connecting`,
 * `live` or `reconnecting`, `retryAtMs` is on the clock of `performance.now()` and `reason` is in the daemon's own words.
 *
 * `block` is one object used again for every call, and its samples are a view of the bytes received: whoever wants to keep them copies them.
 */
export class Wire {
  constructor(on) {
    this.on = on;
    this.socket = null;
    this.stream = null;
    this.failures = 0;
    this.timer = 0;
    this.block = { first: 0, nFrames: 0, missing: 0, flags: 0, utcMs: 0, samples: null };
  }

  /** Asks for the stream called `name`; whatever came before is forgotten. */
  open(name) {
    this.name = name;
    this.failures = 0;
    this.#connect();
  }

  /** Ends a wait between two attempts: the person pressed the button, or came back to the tab. */
  retryNow() {
    if (!this.socket && this.name) this.#connect();
  }

  #connect() {
    clearTimeout(this.timer);
    this.#abandon();
    this.on.state("connecting", "", 0);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/v1/stream?streams=${encodeURIComponent(this.name)}`, "biosigd.v1");
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.#text(data) : this.#data(data));
    socket.onclose = ({ code, reason }) => this.#closed(CLOSED[code] ?? (this.stream ? "connection lost" : "no answer"), reason);
    this.socket = socket;
    this.timer = setTimeout(() => {
      this.#abandon();
      this.#closed("no answer", "");
    }, HELLO_WITHIN_MS);
  }

  /** Lets a socket go without hearing its end: the end of an old connection must not be taken for that of the new one. */
  #abandon() {
    if (!this.socket) return;
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }

  #closed(why, reason) {
    clearTimeout(this.timer);
    this.socket = null;
    this.stream = null;
    const waitMs = 1000 * RETRY_S[Math.min(this.failures++, RETRY_S.length - 1)];
    this.timer = setTimeout(() => this.#connect(), waitMs);
    this.on.state("reconnecting", why, performance.now() + waitMs, reason);
  }

  #text(text) {
    const said = JSON.parse(text);
    if (said.type === "marker") this.on.marker(said);
    if (said.type !== "hello") return;
    clearTimeout(this.timer);
    this.failures = 0;
    this.stream = said.streams.find((stream) => stream.name === this.name) ?? said.streams[0] ?? null;
    if (!this.stream) return;
    this.on.hello(this.stream, said);
    this.on.state("live", "", 0);
  }

  /**
   * Fast because it reads the header as eight words of one view and hands the samples on as a view of the same bytes:
   * two small objects per call, no copy. The words are little-endian on the wire and in every browser there is.
   */
  #data(buffer) {
    if (!this.stream || buffer.byteLength < HEADER_BYTES) return;
    const words = new Uint32Array(buffer, 0, 8);
    const [kind, id] = [(words[1] >>> 8) & 0xff, (words[1] >>> 16) & 0xff];
    const [nFrames, nChannels] = [words[6] & 0xffff, words[6] >>> 16];
    const whole = buffer.byteLength === HEADER_BYTES + 4 * nFrames * nChannels;
    if (words[0] !== MAGIC || (words[1] & 0xff) !== 1 || !whole) return this.#nonsense();
    if (id !== this.stream.id || nChannels !== this.stream.channels.length) return;
    const block = this.block;
    block.flags = words[1] >>> 24;
    block.first = words[2] + words[3] * 2 ** 32; // exact up to 2^53 frames: 70,000 years at 4 kSPS
    block.utcMs = (words[4] + words[5] * 2 ** 32) / 1e6;
    block.nFrames = nFrames;
    block.missing = words[7];
    block.samples = kind === 0 ? new Int32Array(buffer, HEADER_BYTES) : new Float32Array(buffer, HEADER_BYTES);
    this.on.block(block);
  }

  #nonsense() {
    this.#abandon();
    this.#closed("the daemon speaks another version of biosigd.v1; reload the page", "");
  }
}

/**
 * Asks for the status now and every two seconds, for ever, while the tab is visible; `heard(status, why)` gets the
 * JSON, or null and the reason. One question at a time: a slow daemon is not asked faster than it answers.
 */
export function followStatus(heard) {
  const ask = async () => {
    if (document.hidden) return setTimeout(ask, STATUS_EVERY_MS);
    let [status, why] = [null, "no answer"];
    try {
      const answer = await fetch("/api/v1/status", { signal: AbortSignal.timeout(STATUS_WITHIN_MS), cache: "no-store" });
      if (answer.ok) status = await answer.json();
      else why = answer.status === 401 ? NEEDS_TOKEN : `answer ${answer.status}`;
    } catch {
      // No answer is an answer too.
    }
    setTimeout(ask, STATUS_EVERY_MS);
    heard(status, why);
  };
  ask();
}
