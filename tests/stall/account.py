"""What the sidecars of a folder account for, in one line: files, frames delivered, frames lost, those of them to a full ring,
frames between one file and the next.

    python3 account.py DIRECTORY
"""

import json
import sys
from pathlib import Path

sidecars = [json.loads(path.read_text()) for path in Path(sys.argv[1]).glob("*.json") if not path.stem.endswith("_eeg")]
sidecars = sorted((sidecar for sidecar in sidecars if "ledger" in sidecar), key=lambda sidecar: sidecar["first_frame"])
ledgers = [sidecar["ledger"]["recorder"] for sidecar in sidecars]
ends = [sidecar["first_frame"] + sidecar["frames_written"] for sidecar in sidecars]
print(
    len(sidecars),
    sum(ledger["delivered"] for ledger in ledgers),
    sum(sum(ledger["lost"].values()) for ledger in ledgers),
    sum(ledger["lost"]["ring_full"] for ledger in ledgers),
    sum(sidecar["first_frame"] - end for sidecar, end in zip(sidecars[1:], ends)),
)
