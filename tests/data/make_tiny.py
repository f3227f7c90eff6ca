"""Makes tiny.bdf, which config/replay.toml plays: 4 channels, 128 Hz, 8 s of sines, and three annotations.

    python make_tiny.py        (pyEDFlib 0.1.42; the signals are invented, so the file is nobody's data)
"""

import datetime

import numpy as np
import pyedflib

RATE_HZ, SECONDS = 128, 8
LABELS = ["Fz", "Cz", "Pz", "Oz"]
TIME_S = np.arange(RATE_HZ * SECONDS) / RATE_HZ

with pyedflib.EdfWriter("tiny.bdf", len(LABELS), file_type=pyedflib.FILETYPE_BDFPLUS) as writer:
    writer.setStartdatetime(datetime.datetime(2026, 1, 1, 12))
    for channel, label in enumerate(LABELS):
        writer.setSignalHeader(channel, {
            "label": label, "dimension": "uV", "sample_frequency": RATE_HZ, "transducer": "none", "prefilter": "",
            "physical_min": -1000, "physical_max": 1000, "digital_min": -8388608, "digital_max": 8388607,
        })
    writer.writeSamples([20 * (channel + 1) * np.sin(2 * np.pi * (4 + 2 * channel) * TIME_S) for channel in range(len(LABELS))])
    for onset_s, duration_s, text in [(1, -1, "eyes closed"), (2.5, 0.5, "tone"), (5, -1, "eyes open")]:
        writer.writeAnnotation(onset_s, duration_s, text)
