"""Makes the golden files that tests/golden.rs compares the filters with. Run it only to add a case:

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install numpy==2.4.6 scipy==1.17.1
    /tmp/golden/bin/python tests/golden/make.py

response.json  frequency responses, from poles and zeros: SciPy's own sections are good to 1e-8 only at 0.1 Hz
time.json      outputs of sosfilt and lfilter, started in the steady state of the first sample
"""

import json
import pathlib

import numpy as np
import scipy
from scipy import signal

HERE = pathlib.Path(__file__).parent
MADE_WITH = f"scipy {scipy.__version__}, numpy {np.__version__}"
N_FREQS = 20


def compact(numbers, digits):
    return [float(f"{number:.{digits}g}") for number in np.asarray(numbers).tolist()]


def write(name, content):
    text = json.dumps({"made_with": MADE_WITH} | content, separators=(",", ":"))
    (HERE / name).write_text(text.replace('{"kind"', '\n{"kind"') + "\n")


def around(corners_hz, rate_hz):
    """Frequencies from far below the lowest corner to just below half the rate, the corners among them."""
    lowest = np.log10(min(corners_hz) / 30)
    return np.unique(np.concatenate([np.logspace(lowest, np.log10(0.499 * rate_hz), N_FREQS), corners_hz]))


def response(kind, arguments, rate_hz, corners_hz, zpk):
    at_hz = np.array(compact(around(corners_hz, rate_hz), 10))
    _, h = signal.freqz_zpk(*zpk, worN=at_hz, fs=rate_hz)
    return {"kind": kind, "arguments": arguments, "rate_hz": rate_hz, "at_hz": at_hz.tolist(),
            "re": compact(h.real, 13), "im": compact(h.imag, 13)}


def responses():
    for order in range(1, 9):
        for corner_hz, rate_hz in [(0.1, 4000), (0.5, 250), (40, 4000), (1900, 4000)]:
            for kind in ["low_pass", "high_pass"]:
                zpk = signal.butter(order, corner_hz, kind.replace("_", ""), output="zpk", fs=rate_hz)
                yield response(kind, [order, corner_hz], rate_hz, [corner_hz], zpk)
        for low_hz, high_hz, rate_hz in [(0.1, 100, 4000), (1, 40, 250), (8, 13, 4000), (49, 51, 1000), (20, 450, 1000)]:
            zpk = signal.butter(order, [low_hz, high_hz], "bandpass", output="zpk", fs=rate_hz)
            yield response("band_pass", [order, low_hz, high_hz], rate_hz, [low_hz, high_hz], zpk)
    for freq_hz, q, rate_hz in [(50, 30, 4000), (60, 30, 250), (50, 1, 250), (150, 30, 4000), (1000, 200, 4000)]:
        zpk = signal.tf2zpk(*signal.iirnotch(freq_hz, q, fs=rate_hz))
        edges_hz = [freq_hz * (1 - 1 / q / 2), freq_hz, freq_hz * (1 + 1 / q / 2)]
        yield response("notch", [freq_hz, q], rate_hz, edges_hz, zpk)


def some_signal(n_frames, rate_hz):
    """Two channels with an offset each: hum, a slow wave, noise, and a step."""
    t = np.arange(n_frames)[:, None] / rate_hz
    noise = np.random.default_rng(1).standard_normal((n_frames, 2))
    wave = 20 * np.sin(2 * np.pi * 50 * t) + 50 * np.sin(2 * np.pi * 3 * t + [0, 1])
    return ([1000, -300] + wave + 5 * noise + 200 * (t > t[n_frames // 2])).astype(np.float32).astype(np.float64)


def settled(sos, x):
    zi = signal.sosfilt_zi(sos)[:, :, None] * x[0]
    return signal.sosfilt(sos, x, axis=0, zi=zi)[0]


def decimated(factor, x):
    half = 26 * factor
    taps = signal.firwin(2 * half + 1, 0.45 / factor, window=("kaiser", 7.857), fs=1)
    extended = np.concatenate([np.repeat(x[:1], 2 * half, axis=0), x])
    return signal.lfilter(taps, 1, extended, axis=0)[2 * half::factor]


def times(x, rate_hz):
    def case(kind, keys, y):
        return {"kind": kind, "keys": keys, "output": compact(y.ravel(), 9)}

    for kind, order, corner_hz in [("high_pass", 2, 0.5), ("high_pass", 5, 3), ("low_pass", 4, 40), ("low_pass", 1, 10)]:
        sos = signal.butter(order, corner_hz, kind.replace("_", ""), output="sos", fs=rate_hz)
        yield case(kind, f"order = {order}\ncorner_hz = {corner_hz:.1f}", settled(sos, x))
    sos = signal.butter(4, [8, 13], "bandpass", output="sos", fs=rate_hz)
    yield case("band_pass", "order = 4\nlow_hz = 8.0\nhigh_hz = 13.0", settled(sos, x))
    # Of the harmonics 50, 100 .. 250 Hz the last two are not below half the rate, 200 Hz.
    sos = np.array([np.concatenate(signal.iirnotch(f, 30, fs=rate_hz)) for f in [50, 100, 150]])
    yield case("notch", "freq_hz = 50.0\nq = 30.0\nharmonics = 5", settled(sos, x))
    r = np.exp(-2 * np.pi * 0.5 / rate_hz)
    yield case("dc_block", "corner_hz = 0.5", settled(np.array([[1, -1, 0, 1, -r, 0]]), x))
    for factor in [2, 5]:
        yield case("decimate", f"factor = {factor}", decimated(factor, x))
    yield case("rereference", "to = []", x - x.mean(axis=1, keepdims=True))
    yield case("gain", "factor = -2.5", -2.5 * x)


if __name__ == "__main__":
    rate_hz = 400
    x = some_signal(400, rate_hz)
    write("response.json", {"cases": list(responses())})
    write("time.json", {"rate_hz": rate_hz, "input": compact(x.ravel(), 9), "cases": list(times(x, rate_hz))})
