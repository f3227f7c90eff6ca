"""The filter chain of tests/bench/filter.rs in SciPy and BrainFlow, on the same samples: million samples a second on one core.

    python peers.py

Prints a line for each way, `NAME<tab>MEDIAN<tab>SLOWEST<tab>FASTEST`, or `NAME<tab>not installed`. High-pass of order 2 at 0.5 Hz,
notch at 50 Hz, low-pass of order 4 at 100 Hz, 32 channels at 4 kHz. SciPy has the same coefficients (tests/golden compares
them). BrainFlow takes none: its own Butterworth filters of the same orders, with a band-stop of 49 to 51 Hz for the notch.
"""

import importlib.util
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

CHANNELS, RATE, RUNS = 32, 4000.0, 7
BLOCK, BLOCKS = 400, 300


def samples():
    """The block of tests/common/stages.rs (`signal`), again and again: frames by channels, float64."""
    import numpy as np

    seed, block = 1, []
    for frame in range(BLOCK):
        hum = 20.0 * np.sin(2 * np.pi * 50.0 * frame / RATE)
        for channel in range(CHANNELS):
            seed = (seed * 1664525 + 1013904223) % 2**32
            block.append(1000.0 * (channel - 3.0) + hum + 10.0 * (seed / (2**32 - 1) - 0.5))
    return np.tile(np.array(block).reshape(BLOCK, CHANNELS), (BLOCKS, 1))


def measure(name, run, n_samples):
    rates = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        run()
        rates.append(n_samples / (time.perf_counter() - begin) / 1e6)
    rates.sort()
    print(f"{name}\t{rates[RUNS // 2]:.1f}\t{rates[0]:.1f}\t{rates[-1]:.1f}", flush=True)


def scipy_ways():
    import numpy as np
    from scipy import signal

    notch = signal.tf2sos(*signal.iirnotch(50.0, 30.0, RATE))
    high = signal.butter(2, 0.5, "highpass", fs=RATE, output="sos")
    low = signal.butter(4, 100.0, "lowpass", fs=RATE, output="sos")
    sections = np.vstack([high, notch, low])
    whole = samples()
    for kind in (np.float64, np.float32):
        data = np.ascontiguousarray(whole, kind)
        measure(f"SciPy sosfilt, {kind.__name__}, whole array", lambda: signal.sosfilt(sections, data, axis=0), data.size)

        def in_blocks():
            state = np.zeros((len(sections), 2, CHANNELS))
            for at in range(0, len(data), BLOCK):
                _, state = signal.sosfilt(sections, data[at:at + BLOCK], axis=0, zi=state)

        measure(f"SciPy sosfilt, {kind.__name__}, blocks of {BLOCK}", in_blocks, data.size)


def brainflow_ways():
    import numpy as np
    from brainflow.data_filter import DataFilter, FilterTypes

    kind = FilterTypes.BUTTERWORTH.value if hasattr(FilterTypes.BUTTERWORTH, "value") else FilterTypes.BUTTERWORTH
    data = np.ascontiguousarray(samples().T)

    def run():
        for channel in data.copy():
            DataFilter.perform_highpass(channel, int(RATE), 0.5, 2, kind, 0)
            DataFilter.perform_bandstop(channel, int(RATE), 49.0, 51.0, 1, kind, 0)
            DataFilter.perform_lowpass(channel, int(RATE), 100.0, 4, kind, 0)

    measure("BrainFlow DataFilter, channel by channel", run, data.size)


for module, name, ways in (("scipy", "SciPy sosfilt", scipy_ways), ("brainflow", "BrainFlow DataFilter", brainflow_ways)):
    if importlib.util.find_spec(module) is None or importlib.util.find_spec("numpy") is None:
        print(f"{name}\tnot installed")
    else:
        ways()
