"""Output of a command is read by a thread that others wake with signals."""

import os
import threading

from ml_intern.execution.process.pipes import CommandSignals, PipeReader


def test_a_signal_sent_before_anybody_waited_wakes_the_reader_once() -> None:
    (reading, writing), signals = os.pipe(), CommandSignals()
    pipe = PipeReader(reading, signals)
    signals.send("ended")
    assert not pipe.wait(60)
    assert "ended" in signals
    os.write(writing, b"rest")
    assert pipe.wait(60)
    assert (pipe.read(), pipe.read()) == (b"rest", b"")
    pipe.close()
    signals.close()
    signals.send("cancelled")
    assert "cancelled" not in signals
    os.close(writing)


def test_a_waiting_reader_is_woken_by_output_the_end_and_a_signal() -> None:
    (reading, writing), signals = os.pipe(), CommandSignals()
    pipe = PipeReader(reading, signals)
    for act, is_output in (
        (lambda: os.write(writing, b"x"), True),
        (lambda: os.close(writing), True),
        (lambda: signals.send("hurried"), False),
    ):
        timer = threading.Timer(0.01, act)
        timer.start()
        assert pipe.wait(None) is is_output
        timer.join()
        pipe.read()
    pipe.close()
    signals.close()
