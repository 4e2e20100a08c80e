"""A command that runs until a signal ends at whatever moment that comes."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

_AS_IT_WAITS = """
    import os, signal, threading
    from mpesa_integrations.process_signals import told_to_stop

    wait = threading.Condition.wait

    def wait_after_a_signal(condition, timeout=None):
        threading.Condition.wait = wait
        os.kill(os.getpid(), {number})  # the event's lock is held here
        return wait(condition, timeout)

    before = signal.getsignal({number})
    with told_to_stop() as stop:
        threading.Condition.wait = wait_after_a_signal
        assert stop.wait(30)
    assert signal.getsignal({number}) is before
    print("ended", threading.active_count())
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_as_the_waiting_begins_ends_it(number: int) -> None:
    code = textwrap.dedent(_AS_IT_WAITS.format(number=int(number)))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "ended 1\n"), done.stderr
