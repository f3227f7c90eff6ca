// The last half minute of a stream in memory of a fixed size, whatever its rate: the lowest and highest sample of every channel
// in bins a few frames long. The plot reads bins, never samples, and the longest time base costs no more memory than the shortest.

const HISTORY_S = 31; // the longest time base, and one second for what is being filled
const BINS_PER_S_MAX = 2000; // finer than the pixels of a wide screen at 1 s
const CELLS_MAX = 8 << 20; // bins x channels; two arrays of f32, so at most 64 MiB

/** What a bin lacks: nothing, frames that the daemon could not send, or frames sent while this page was not connected. */
export const HOLE = { none: 0, lost: 1, away: 2 };

/** Frames are numbered as on the wire; bin `b` holds frames `b * framesPerBin` up to the next bin, and lives in slot `b % nBins`. */
export class Envelope {
  constructor(rateHz, nChannels) {
    const binsPerS = Math.min(BINS_PER_S_MAX, CELLS_MAX / (HISTORY_S * nChannels));
    this.rateHz = rateHz;
    this.nChannels = nChannels;
    this.framesPerBin = Math.max(1, Math.ceil(rateHz / binsPerS));
    this.nBins = Math.ceil((HISTORY_S * rateHz) / this.framesPerBin) + 2;
    this.low = new Float32Array(this.nBins * nChannels);
    this.high = new Float32Array(this.nBins * nChannels);
    this.hole = new Uint8Array(this.nBins);
    this.firstFrame = -1; // the first this page ever got
    this.nextFrame = -1; // the one after the newest
    this.bin = -1; // the newest bin, still being filled
  }

  /** The oldest bin that is still kept. */
  get firstBin() {
    return Math.max(Math.floor(this.firstFrame / this.framesPerBin), this.bin - this.nBins + 1);
  }

  /** Bins before this one will not change any more. */
  get endBin() {
    return Math.floor(this.nextFrame / this.framesPerBin);
  }

  /**
   * Takes a block; frames between the newest and `first` become a hole of the kind `hole`.
   *
   * Fast because the channel loop is innermost over neighbouring numbers, and nothing is allocated: 32 channels x 4 kSPS
   * took 0.1 % of a server's core in Node. One array per channel would touch as many cache lines as there are channels.
   */
  add(first, nFrames, samples, hole) {
    if (this.nextFrame < 0) this.firstFrame = this.nextFrame = first;
    if (first > this.nextFrame) this.#lack(first, hole);
    const { framesPerBin, nBins, nChannels, low, high } = this;
    const end = first + nFrames;
    for (let frame = first, i = 0; frame < end; ) {
      const bin = Math.floor(frame / framesPerBin);
      if (bin !== this.bin) this.#enter(bin);
      const at = (bin % nBins) * nChannels;
      const binEnd = Math.min(end, (bin + 1) * framesPerBin);
      for (; frame < binEnd; frame++) {
        for (let c = at; c < at + nChannels; c++, i++) {
          const sample = samples[i];
          if (sample < low[c]) low[c] = sample;
          if (sample > high[c]) high[c] = sample;
        }
      }
    }
    this.nextFrame = end;
  }

  /** Marks every frame from the newest up to `first` as missing. A hole longer than the history costs no more than the history. */
  #lack(first, hole) {
    const lastBin = Math.floor((first - 1) / this.framesPerBin);
    const fromBin = Math.max(Math.floor(this.nextFrame / this.framesPerBin), lastBin - this.nBins + 1);
    for (let bin = fromBin; bin <= lastBin; bin++) {
      if (bin > this.bin) this.#enter(bin);
      this.hole[bin % this.nBins] = hole;
    }
    this.nextFrame = first;
  }

  #enter(bin) {
    const slot = bin % this.nBins;
    this.low.fill(Infinity, slot * this.nChannels, (slot + 1) * this.nChannels);
    this.high.fill(-Infinity, slot * this.nChannels, (slot + 1) * this.nChannels);
    this.hole[slot] = HOLE.none;
    this.bin = bin;
  }

  /** A copy that no longer changes: what a paused page shows, at every time base and sensitivity. */
  frozen() {
    const copy = Object.assign(Object.create(Envelope.prototype), this);
    copy.low = this.low.slice();
    copy.high = this.high.slice();
    copy.hole = this.hole.slice();
    return copy;
  }

  /**
   * Mean and standard deviation of every channel over the last `lastS` seconds, in the numbers of the wire, into two arrays.
   * Looks at 500 bins at most, spread evenly: good enough to place and size a trace, and the same cost at every rate.
   */
  survey(lastS, mean, deviation) {
    const end = this.endBin;
    const from = Math.max(this.firstBin, end - Math.ceil((lastS * this.rateHz) / this.framesPerBin));
    const step = Math.max(1, Math.floor((end - from) / 500));
    for (let c = 0; c < this.nChannels; c++) {
      let [n, sum, squares, origin] = [0, 0, 0, NaN];
      for (let bin = from; bin < end; bin += step) {
        const cell = (bin % this.nBins) * this.nChannels + c;
        if (!(this.low[cell] <= this.high[cell])) continue;
        if (n === 0) origin = this.low[cell]; // sums of differences: an offset of volts must not swallow microvolts
        const [low, high] = [this.low[cell] - origin, this.high[cell] - origin];
        n += 2;
        sum += low + high;
        squares += low * low + high * high;
      }
      mean[c] = n > 0 ? origin + sum / n : 0;
      deviation[c] = n > 0 ? Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2)) : 0;
    }
  }
}
