"""Lets the interpreter inside Triton, an older 3.11, run the standard library of a newer one.

Python 3.11.5 and later ask a lock for `_recursion_count`, which the C lock of an older interpreter does not have; the
one written in Python, which comes with the library, has it.
"""

import _thread
import threading

if not hasattr(_thread.RLock, "_recursion_count"):
    threading._CRLock = None
