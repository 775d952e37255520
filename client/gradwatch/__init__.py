"""Gradwatch for training jobs: report gradients, receive advice, apply the guard.

    run = gradwatch.init(project="lm", name="gpt-small")
    run.log(step=0, loss=2.3, grad_norm=1.7)

See ``init`` and ``Run``.
"""

from gradwatch.buffer import Counts
from gradwatch.guard import Decision, Guard
from gradwatch.monitor import Monitor
from gradwatch.off import OffRun
from gradwatch.run import Run
from gradwatch.start import init
from gradwatch.transport import client_version

__version__ = client_version()

__all__ = ["Counts", "Decision", "Guard", "Monitor", "OffRun", "Run", "init"]
