#!/usr/bin/env python3
"""Holds one thread of a process, as a hang in it would, until this program ends: `hold.py PID THREAD-NAME`."""

import ctypes
import os
import sys

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
WALL = 0x40000000  # also waits for threads that are not the process's first


def thread(pid: str, name: str) -> int:
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm") as comm:
            if comm.read().strip() == name:
                return int(task)
    sys.exit(f"process {pid} has no thread {name}")


libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
tid = thread(sys.argv[1], sys.argv[2])
for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
    if libc.ptrace(request, tid, None, None) != 0:
        sys.exit(f"cannot hold thread {tid}: {os.strerror(ctypes.get_errno())}")
os.waitpid(tid, WALL)
print("held", flush=True)
# Until the thread is killed; whoever traces a thread has to take its end, or its process never ends either.
while not os.WIFSIGNALED(os.waitpid(tid, WALL)[1]):
    pass
