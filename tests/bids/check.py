"""Is a folder that the daemon recorded a data set in the sense of BIDS?

    python check.py BIOSIGD DIRECTORY

Records with the daemon into folders of two subjects, more than one run each, and gives the whole to the BIDS validator
(bids-validator-deno), which must find no error. Then each copy is damaged in one way, and the validator must say so.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from daemon import Daemon

WITHIN_S = 60
SOURCES = {
    "eeg": '[source]\nkind = "ads1299"\nbus = "simulated"\nn_chips = 2\nrate_hz = 500\n',
    "emg": '[source]\nkind = "synthetic"\nn_channels = 4\nrate_hz = 1000\n',
}


def validate(folder):
    """The validator's errors: `{code: locations}`."""
    validator = Path(sys.executable).with_name("bids-validator-deno")
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run([str(validator), str(folder), "--json"], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment, timeout=120)
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = {}
    for issue in issues:
        if issue["severity"] == "error":
            errors.setdefault(issue["code"], []).append(f"{issue.get('location')} {issue.get('subCode', '')}")
    assert (done.returncode != 0) == bool(errors), f"exit code {done.returncode}, {errors}\n{done.stderr}"
    return errors


def post(daemon, path, body):
    request = urllib.request.Request(f"http://{daemon.address}/api/v1/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def record(binary, directory, kind):
    """Three recordings of two subjects, one of them in two files. The data set."""
    config = SOURCES[kind] + f"""
[recorder]
record = "manual"
dir = "study"
file_name = "sub-{{subject}}/ses-1/{kind}/sub-{{subject}}_ses-1_task-{{name}}_run-{{part}}_{kind}"
min_free_gb = 0
"""
    with Daemon(binary, directory, config) as daemon:
        for subject, task, rotates in [("01", "rest", True), ("01", "rest", False), ("S 2", "eyes closed", False)]:
            post(daemon, "recording/start", {"subject": subject, "name": task, "notes": "line one\nline two \U0001F9E0"})
            post(daemon, "markers", {"text": "7"})
            post(daemon, "markers", {"text": "eyes\topen \u00b5", "duration_s": 0.25, "sent_utc_ns": 1})
            if rotates:
                post(daemon, "recording/rotate", {})
            time.sleep(0.2)
            last = post(daemon, "recording/stop", {})
            # What this machine woke up too late for is `missed`, and in the files as such; nothing else may be lost.
            ledger = last["ledger"]
            assert ledger["expected"] == ledger["delivered"] + ledger["lost"]["missed"], last
        study = daemon.directory / "study"
        # The tables and the sum are made by a thread that gives way to all others.
        deadline = time.monotonic() + WITHIN_S
        while any(json.loads(file.with_suffix(".json").read_text())["sha256"] is None for file in study.rglob("*.bdf")):
            assert time.monotonic() < deadline, "the tables were not made"
            time.sleep(0.05)
        listed = json.loads(daemon.get("/api/v1/recordings"))["recordings"]
    names = sorted(str(file.relative_to(study)) for file in study.rglob("*.bdf"))
    expected = [f"sub-01/ses-1/{kind}/sub-01_ses-1_task-rest_run-{n}_{kind}.bdf" for n in (1, 2, 3)]
    expected.append(f"sub-S2/ses-1/{kind}/sub-S2_ses-1_task-eyesclosed_run-1_{kind}.bdf")
    assert names == expected, names
    assert sorted(one["file"] for one in listed) == [Path(name).name for name in names], listed
    done = subprocess.run([str(binary), "verify", *(str(study / name) for name in names)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return study


def damaged(study, kind):
    """Ways to break a data set, each with the error that it must bring about."""
    (sidecar,) = study.glob(f"sub-S2/ses-1/{kind}/*_{kind}.json")
    base = str(sidecar)[: -len(f"_{kind}.json")]

    def without(key):
        content = json.loads(sidecar.read_text())
        del content[key]
        sidecar.write_text(json.dumps(content))

    def change(ending, old, new):
        file = Path(base + ending)
        text = file.read_text()
        assert old in text, f"{old!r} is not in {file}"
        file.write_text(text.replace(old, new, 1))

    def drop(ending):
        Path(base + ending).unlink()

    reference = "EEGReference" if kind == "eeg" else "EMGReference"
    for key in ("TaskName", reference, "SamplingFrequency", "PowerLineFrequency", "SoftwareFilters"):
        yield f"without {key}", lambda key=key: without(key), "SIDECAR_KEY_REQUIRED"
    yield "a name that is none", lambda: Path(f"{base}_{kind}.bdf").rename(f"{base}_{kind}x.bdf"), "NOT_INCLUDED"
    yield "a column that is missing", lambda: change("_channels.tsv", "type", "sort"), "TSV_COLUMN_MISSING"
    yield "a type that is none", lambda: change("_channels.tsv", "\tTRIG\t" if kind == "eeg" else "\tEEG\t", "\tNOISE\t"), "TSV_VALUE_INCORRECT_TYPE"
    yield "an onset that is no number", lambda: change("_events.tsv", "\n", "\nsoon\t0\n"), "TSV"
    yield "no description", lambda: (study / "dataset_description.json").unlink(), "MISSING_DATASET_DESCRIPTION"
    yield "a subject that is not listed", lambda: (study / "participants.tsv").write_text("participant_id\nsub-01\n"), "PARTICIPANT_ID_MISMATCH"
    yield "another subject's folder", lambda: (study / "sub-S2").rename(study / "sub-S3"), "INVALID_LOCATION"


def main():
    binary, directory = Path(sys.argv[1]), Path(sys.argv[2])
    wrong = []
    for kind in SOURCES:
        study = record(binary, directory / kind, kind)
        errors = validate(study)
        if errors:
            wrong.append(f"{kind}: the validator finds {errors}")
            continue
        n_found = 0
        for what, _, code in list(damaged(study, kind)):
            copy = directory / "damaged" / "study"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(study, copy)
            (damage,) = [damage for name, damage, _ in damaged(copy, kind) if name == what]
            damage()
            found = validate(copy)
            n_found += any(error.startswith(code) for error in found)
            if not any(error.startswith(code) for error in found):
                wrong.append(f"{kind}, {what}: expected {code}, found {found}")
        print(f"{kind}: {len(list(study.rglob('*')))} files and folders without an error; {n_found} damages of {n_found + sum(kind in one for one in wrong)} found")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
