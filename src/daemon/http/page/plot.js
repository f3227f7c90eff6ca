// The plot: rows of traces swept from left to right on a Canvas2D, as on a bedside monitor. A sweep never moves what is already drawn,
// so each picture costs the few columns that are new, and a hole keeps its place and its width in time.

import { HOLE } from "./envelope.js";

export const AXIS_PX = 34; // below the traces: seconds, the scale bar, and a line of HTML for what is not as measured
const ERASE_PX = 14; // blank columns ahead of the newest frame
const CLIP_ROWS = 2; // a trace leaves its row by two rows at most, so that a saturated channel does not bury the others
const PIXEL_RATIO_MAX = 2;
const TICKS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10];
const TICK_PX_MIN = 62;
const SIZE_FOR_DEVIATIONS = 5; // a row as high as five standard deviations holds a trace without much overlap
const VOLTS = { V: 1e6, mV: 1e3, uV: 1, "µV": 1, "μV": 1, nV: 1e-3 };

/** The smallest of 1, 2, 5, 10, 20, 50, ... that is not below `x`. */
export function niceAbove(x) {
  const decade = 10 ** Math.floor(Math.log10(Math.max(x, 1e-9)));
  return [1, 2, 5, 10].map((step) => step * decade).find((step) => step >= x * 0.999999) ?? 10 * decade;
}

/** Whether a row of `perRow` is too small or far too large for a signal that wants `size`. Wide apart, so that rows come to rest. */
export const unfit = (size, perRow) => size > perRow * 1.2 || size < perRow * 0.35;

/** Microvolts as people write them. */
export function volts(uv) {
  const [value, unit] = uv >= 1e6 ? [uv / 1e6, "V"] : uv >= 1e3 ? [uv / 1e3, "mV"] : uv >= 1 ? [uv, "µV"] : [uv * 1e3, "nV"];
  return `${Number(value.toPrecision(3))} ${unit}`;
}

/** Which colour a channel has, by the 10-20 convention: odd numbers left, even right, the rest midline. It also tells neighbours apart. */
const side = (name) => (/[13579]$/.test(name) ? "left" : /[02468]$/.test(name) ? "right" : "mid");

/** What stands above a hole, or above the first of several. */
export const lostText = (nFrames, nHoles) => `${nFrames.toLocaleString("en")} lost${nHoles > 1 ? ` in ${nHoles} holes` : ""}`;

export class Plot {
  constructor(canvas, lane) {
    this.canvas = canvas;
    this.lane = lane; // a strip of HTML above the traces for the texts of events
    this.ctx = canvas.getContext("2d", { alpha: false });
    this.events = [];
    this.timeBaseS = 10;
    this.uvPerRow = 100;
    this.removeMean = false;
    this.off = new Set(); // names of channels of which an electrode is off
    this.stale = true; // set by whoever changes a setting: everything is drawn anew
    this.rows = [];
    this.show({ channels: [], rate_hz: 1, ratio: 1, delay_s: 0 });
  }

  /** A new stream: what was drawn of another one means nothing here. */
  show(stream) {
    const n = stream.channels.length;
    this.stream = stream;
    this.mean = new Float64Array(n); // of the numbers on the wire
    this.deviation = new Float64Array(n);
    this.gain = new Float64Array(n); // device pixels per number on the wire
    this.zero = new Float64Array(n); // the number on the wire that lies on the row's middle
    this.perRow = new Array(n).fill(1); // units per row of channels that are not voltages
    this.toUv = stream.channels.map((channel) => VOLTS[channel.unit] ?? NaN);
    this.y = new Float64Array(n).fill(NaN); // where each trace ended, NaN after a hole
    for (const event of this.events.splice(0)) event.label?.remove();
    this.stale = true;
  }

  /** `rows` are the channels to draw, top to bottom. */
  choose(rows) {
    this.rows = rows;
    this.stale = true;
  }

  /** An event at a frame of `raw` (a marker) or of this stream (a hole): `{ rawFrame | frame, text, kind }`. The newest 200 are kept. */
  addEvent(event) {
    const { rate_hz, ratio, delay_s } = this.stream;
    event.frame ??= event.rawFrame / ratio + delay_s * rate_hz;
    this.events.push(event);
    if (this.events.length > 200) this.events.shift().label?.remove();
  }

  /** Units per row at which the middle one of the chosen voltage channels fits its row; NaN while nothing is known. */
  fit(env) {
    env.survey(Math.min(this.timeBaseS, 5), this.mean, this.deviation);
    const sizes = [];
    for (const c of this.rows) {
      const { scale } = this.stream.channels[c];
      const size = SIZE_FOR_DEVIATIONS * this.deviation[c] * Math.abs(scale);
      if (!(size > 0)) continue;
      if (!isNaN(this.toUv[c])) sizes.push(size * this.toUv[c]);
      else if (unfit(size, this.perRow[c])) [this.perRow[c], this.stale] = [niceAbove(size), true];
    }
    return sizes.sort((a, b) => a - b)[sizes.length >> 1] ?? NaN;
  }

  /** Draws what is new in `env` (or everything, when stale); answers how many frames of the stream that was. */
  draw(env) {
    if (this.stale) this.#measure();
    this.framesPerColumn = (this.stream.rate_hz * this.timeBaseS) / this.width;
    const columnsPerBin = env.framesPerBin / this.framesPerColumn;
    const started = env.nextFrame >= 0;
    const head = started ? Math.floor(env.endBin * columnsPerBin) : 0;
    const endBin = started ? Math.min(env.endBin, Math.ceil(head / columnsPerBin)) : 0; // only whole columns
    const before = this.endBin;
    if (this.stale || head - this.head >= this.width || head < this.head) {
      this.#everything(env, columnsPerBin, head, endBin);
    } else if (endBin > this.endBin) {
      if (Math.floor(head / this.width) !== Math.floor(this.head / this.width)) this.#aim(env);
      this.#columns(env, columnsPerBin, this.head, head, this.endBin, endBin);
    } else return 0;
    [this.head, this.endBin, this.stale] = [head, endBin, false];
    this.#lines();
    this.#cursor();
    this.#labels();
    return Math.max(0, endBin - Math.max(before ?? endBin, env.firstBin)) * env.framesPerBin;
  }

  #measure() {
    const ratio = Math.min(devicePixelRatio || 1, PIXEL_RATIO_MAX);
    const [width, height] = [Math.round(this.canvas.clientWidth * ratio), Math.round(this.canvas.clientHeight * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const css = getComputedStyle(this.canvas);
    const names = ["ground", "ink", "muted", "line", "grid", "left", "right", "mid", "lost", "lost-edge", "away", "away-edge", "marker", "cursor", "warn"];
    this.colour = Object.fromEntries(names.map((name) => [name, css.getPropertyValue(`--${name}`).trim()]));
    this.font = css.fontFamily;
    this.ratio = ratio;
    this.ctx.font = `${12 * ratio}px ${this.font}`;
    const widest = Math.max(0, ...this.rows.map((c) => this.ctx.measureText(this.stream.channels[c].name).width));
    this.left = Math.round(Math.min(Math.max(widest + 14 * ratio, 50 * ratio), 84 * ratio));
    this.width = Math.max(1, width - this.left - Math.round(8 * ratio));
    this.height = Math.max(1, height - AXIS_PX * ratio);
    this.erase = Math.round(ERASE_PX * ratio);
    this.rowHeight = this.height / Math.max(1, this.rows.length);
  }

  /** Works out where each channel's numbers fall. Done when all is drawn anew and at the start of a sweep: within one, a trace keeps its zero. */
  #aim(env) {
    if (env.nextFrame >= 0) env.survey(Math.min(this.timeBaseS, 5), this.mean, this.deviation);
    this.stream.channels.forEach(({ scale, offset }, c) => {
      const own = isNaN(this.toUv[c]);
      this.gain[c] = (scale * this.rowHeight) / (own ? this.perRow[c] : this.uvPerRow / this.toUv[c]);
      const zero = own || this.removeMean ? this.mean[c] : -offset / scale;
      if (zero !== this.zero[c]) this.y[c] = NaN; // no line from the old zero to the new one: it would look like signal
      this.zero[c] = zero;
    });
  }

  #everything(env, columnsPerBin, head, endBin) {
    const { ctx, colour, canvas } = this;
    ctx.fillStyle = colour.ground;
    ctx.fillRect(0, 0, canvas.width, canvas.height);
    this.#gutter();
    this.#axis();
    this.#aim(env);
    this.y.fill(NaN);
    for (const event of this.events) event.drawn = false;
    this.#background(head, head + this.width);
    if (env.nextFrame < 0) return;
    const oldest = head - this.width + this.erase;
    const fromBin = Math.min(endBin, Math.max(env.firstBin, Math.ceil(oldest / columnsPerBin)));
    this.#columns(env, columnsPerBin, Math.floor(fromBin * columnsPerBin), head, fromBin, endBin, false);
  }

  /** Draws the bins from `fromBin` to `endBin`, which fill the columns from `from` to `head`. */
  #columns(env, columnsPerBin, from, head, fromBin, endBin, erase = true) {
    if (erase) this.#background(from, head + this.erase);
    this.#holes(env, columnsPerBin, fromBin, endBin);
    const { ctx } = this;
    ctx.save();
    ctx.beginPath();
    ctx.rect(this.left, 0, this.width, this.height);
    ctx.clip();
    ctx.lineWidth = this.ratio > 1 ? 0.75 * this.ratio : 1;
    ctx.lineJoin = "bevel";
    // Fast because only new columns are drawn, and all rows of a colour are one stroke: 32 channels x 4 kSPS at 1280x800 run at
    // the screen's 60 pictures a second without a GPU, where drawing everything anew for each picture ran at 41.
    for (const name of ["left", "right", "mid"]) {
      ctx.strokeStyle = this.colour[name];
      ctx.beginPath();
      this.rows.forEach((c, row) => {
        if (side(this.stream.channels[c].name) !== name) return;
        this.#trace(env, columnsPerBin, c, (row + 0.5) * this.rowHeight, fromBin, endBin);
      });
      ctx.stroke();
    }
    ctx.restore();
    this.column = Math.floor((endBin - 1) * columnsPerBin);
  }

  /** Adds one channel's line to the path: per column from its lowest to its highest sample, by the way that is shorter from the column before. */
  #trace(env, columnsPerBin, c, middle, fromBin, endBin) {
    const { ctx, left, width } = this;
    const { low, high, hole, nBins, nChannels } = env;
    const [gain, zero, reach] = [this.gain[c], this.zero[c], CLIP_ROWS * this.rowHeight];
    let [y, last] = [this.y[c], this.column];
    if (!isNaN(y)) ctx.moveTo(left + (last % width) + 0.5, y);
    let slot = fromBin % nBins;
    for (let bin = fromBin; bin < endBin; ) {
      const column = Math.floor(bin * columnsPerBin);
      let [min, max, whole] = [Infinity, -Infinity, true];
      do {
        const cell = slot * nChannels + c;
        if (low[cell] < min) min = low[cell];
        if (high[cell] > max) max = high[cell];
        if (hole[slot] !== HOLE.none) whole = false;
        if (++slot === nBins) slot = 0;
      } while (++bin < endBin && Math.floor(bin * columnsPerBin) === column);
      if (!(min <= max)) {
        y = NaN;
        continue;
      }
      const a = middle - Math.max(-reach, Math.min(reach, (min - zero) * gain));
      const b = middle - Math.max(-reach, Math.min(reach, (max - zero) * gain));
      const x = left + (column % width) + 0.5;
      if (isNaN(y)) {
        ctx.moveTo(x, a === b ? a - 0.5 : a); // a lone sample still shows as a dot
        y = a;
      } else if (column % width < last % width) {
        ctx.lineTo(left + (last % width) + 0.5 + column - last, a); // out at the right edge ...
        ctx.moveTo(x - column + last, y); // ... and in again at the left
      }
      const rising = Math.abs(y - a) <= Math.abs(y - b);
      ctx.lineTo(x, rising ? a : b);
      if (a !== b) ctx.lineTo(x, rising ? b : a);
      y = whole ? (rising ? b : a) : NaN;
      last = column;
    }
    this.y[c] = y;
  }

  /** Runs `paint(x, width)` for the columns from `from` to `to`, in two parts where the sweep begins again. */
  #span(from, to, paint) {
    for (let at = from; at < to; ) {
      const n = Math.min(to - at, this.width - (at % this.width));
      paint(this.left + (at % this.width), n);
      at += n;
    }
  }

  #background(from, to) {
    const { ctx, colour, ratio } = this;
    const tick = (this.tickS() / this.timeBaseS) * this.width;
    this.#span(from, Math.min(to, from + this.width), (x, n) => {
      ctx.fillStyle = colour.ground;
      ctx.fillRect(x, 0, n, this.height);
      ctx.fillStyle = colour.grid;
      this.rows.forEach((_, row) => ctx.fillRect(x, Math.round((row + 0.5) * this.rowHeight), n, 1));
      ctx.fillStyle = colour.line;
      for (let k = Math.ceil((x - this.left - 0.5) / tick); k * tick < x - this.left + n - 0.5; k++) {
        ctx.fillRect(this.left + Math.round(k * tick), 0, Math.max(1, Math.round(ratio / 2)), this.height);
      }
    });
  }

  /** The tinted bands. One column at least, with a dark edge where it begins: a single missing frame must be seen at every time base. */
  #holes(env, columnsPerBin, fromBin, endBin) {
    const { ctx, colour } = this;
    for (let bin = fromBin; bin < endBin; bin++) {
      const hole = env.hole[bin % env.nBins];
      if (hole === HOLE.none) continue;
      const name = hole === HOLE.lost ? "lost" : "away";
      const begins = bin === env.firstBin || env.hole[(bin - 1) % env.nBins] !== hole;
      const from = Math.floor(bin * columnsPerBin);
      const to = Math.max(from + 1, Math.floor((bin + 1) * columnsPerBin));
      if (from === this.edge && !begins && to === from + 1) continue; // its column is done, and shows the edge
      ctx.fillStyle = colour[begins ? `${name}-edge` : name];
      this.#span(from, begins ? from + 1 : to, (x, n) => ctx.fillRect(x, 0, n, this.height));
      if (begins) this.edge = from;
      ctx.fillStyle = colour[name];
      if (begins) this.#span(from + 1, to, (x, n) => ctx.fillRect(x, 0, n, this.height));
    }
  }

  /** Lines of markers: each once, when its column has been drawn, also where the daemon told of it later than of its frame. */
  #lines() {
    this.ctx.fillStyle = this.colour.marker;
    for (const event of this.events) {
      const column = Math.floor(event.frame / this.framesPerColumn);
      if (event.drawn || event.kind !== "marker" || column >= this.head || column <= this.head - this.width + this.erase) continue;
      this.ctx.fillRect(this.left + (column % this.width), 0, Math.max(1, Math.round(this.ratio)), this.height);
      event.drawn = true;
    }
  }

  #cursor() {
    this.ctx.fillStyle = this.colour.cursor;
    this.ctx.fillRect(this.left + (this.head % this.width), 0, Math.max(1, Math.round(this.ratio)), this.height);
  }

  /** The texts of markers and holes, as HTML: they may reach over columns that are yet to come. */
  #labels() {
    let moved = false;
    for (const event of this.events) {
      const column = Math.floor(event.frame / this.framesPerColumn);
      const seen = column < this.head && column > this.head - this.width + this.erase;
      const place = seen ? (this.left + (column % this.width)) / this.ratio : NaN;
      if (Object.is(place, event.place ?? NaN)) continue;
      [event.place, moved] = [place, true];
      if (!seen) event.label = event.label?.remove() ?? null;
      else if (!event.label) {
        const { kind: className, text } = event;
        event.label = this.lane.appendChild(Object.assign(document.createElement("span"), { className, textContent: text, title: text }));
        event.width = event.label.offsetWidth + 1; // it is rounded
      }
    }
    if (moved) this.#spread();
  }

  /** Holes that are too near for a label each share the one of the first, with the sum of what they lost. `holes` is left to right. */
  #share(holes, edge) {
    let [first, sum, n] = [null, 0, 0];
    for (const hole of holes) {
      // Right of the cursor stands what is older: no neighbour of what is left of it.
      const left = Math.min(hole.place, edge - hole.width - 3);
      hole.shares = first !== null && hole.frame > first.frame && left < first.place + first.width + 3;
      [first, sum, n] = hole.shares ? [first, sum + hole.lost, n + 1] : [hole, hole.lost, 1];
      const { label } = first;
      label.textContent = label.title = lostText(sum, n);
      label.style.maxWidth = "none";
      first.width = label.offsetWidth + 1; // it is rounded
    }
  }

  /** Labels never cover each other: half a number is a wrong number. Each is cut, with an ellipsis, where the next one begins. */
  #spread() {
    const edge = this.canvas.clientWidth;
    this.#share(this.events.filter((event) => event.label && event.kind === "lost").sort((a, b) => a.place - b.place), edge);
    const next = { marker: edge, lost: edge }; // where the label to the right begins; markers have a line of their own
    const shown = this.events.filter((event) => event.label).sort((a, b) => b.place - a.place);
    for (const { label, place, width, kind, shares } of shown) {
      if (shares) {
        label.style.visibility = "hidden";
        continue;
      }
      const line = kind === "marker" ? "marker" : "lost";
      const left = Math.min(place, edge - width - 3);
      const room = Math.min(next[line] - left - 3, kind === "lost" ? width : 130);
      label.style.left = `${left}px`;
      label.style.maxWidth = `${Math.max(0, room)}px`;
      label.style.visibility = room < Math.min(width, 30) ? "hidden" : "visible";
      if (room > 0) next[line] = left;
    }
  }

  tickS() {
    return TICKS_S.find((s) => (s / this.timeBaseS) * this.width >= TICK_PX_MIN * this.ratio) ?? this.timeBaseS;
  }

  #gutter() {
    const { ctx, colour, ratio, rowHeight } = this;
    const px = Math.min(12 * ratio, Math.max(8 * ratio, rowHeight * 0.8));
    const every = Math.ceil((px * 0.95) / rowHeight);
    Object.assign(ctx, { textAlign: "right", textBaseline: "middle" });
    this.rows.forEach((c, row) => {
      if (row % every) return;
      const { name, unit } = this.stream.channels[c];
      const y = (row + 0.5) * rowHeight;
      const units = isNaN(this.toUv[c]) && rowHeight >= 26 * ratio;
      const off = this.off.has(name);
      ctx.font = `${px}px ${this.font}`;
      ctx.fillStyle = off ? colour.warn : colour[side(name)];
      ctx.fillText(off ? `○ ${name}` : name, this.left - 6 * ratio, units ? y - px * 0.55 : y, this.left - 8 * ratio);
      if (!units) return;
      ctx.fillStyle = colour.muted;
      ctx.fillText(`${this.perRow[c]} ${unit}`, this.left - 6 * ratio, y + px * 0.55, this.left - 8 * ratio);
    });
    ctx.fillStyle = colour.line;
    ctx.fillRect(this.left - 1, 0, 1, this.height);
    ctx.fillRect(0, this.height, this.canvas.width, Math.max(1, Math.round(ratio / 2)));
  }

  #axis() {
    const { ctx, colour, ratio } = this;
    const tickS = this.tickS();
    ctx.font = `${11 * ratio}px ${this.font}`;
    ctx.fillStyle = colour.muted;
    ctx.textBaseline = "top";
    for (let k = 0; k * tickS <= this.timeBaseS + 1e-9; k++) {
      const at = ((k * tickS) / this.timeBaseS) * this.width;
      ctx.textAlign = k === 0 ? "left" : at > this.width - 20 * ratio ? "right" : "center";
      ctx.fillText(`${Number((k * tickS).toFixed(1))}${k === 0 ? " s" : ""}`, this.left + at, this.height + 4 * ratio);
    }
    this.#scaleBar();
  }

  /** A bar as high as the number beside it says: the row's sensitivity, or the largest round part of it that fits below the rows. */
  #scaleBar() {
    const { ctx, colour, ratio } = this;
    const fits = (AXIS_PX - 8) * ratio;
    let uv = this.uvPerRow;
    while ((uv / this.uvPerRow) * this.rowHeight > fits) uv = niceAbove(uv / 2.6);
    const bar = (uv / this.uvPerRow) * this.rowHeight;
    const [x, top] = [6 * ratio, this.height + (AXIS_PX * ratio - bar) / 2];
    ctx.fillStyle = colour.ink;
    ctx.fillRect(x, top, ratio, bar);
    ctx.fillRect(x - 2 * ratio, top, 5 * ratio, ratio);
    ctx.fillRect(x - 2 * ratio, top + bar - ratio, 5 * ratio, ratio);
    Object.assign(ctx, { textAlign: "left", textBaseline: "middle", font: `${11 * ratio}px ${this.font}` });
    ctx.fillText(volts(uv), x + 6 * ratio, this.height + (AXIS_PX / 2) * ratio, this.left - 14 * ratio);
  }
}
