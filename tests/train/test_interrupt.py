"""A signal is a wish; the second Ctrl-C is an order."""

import os
import signal

import pytest

from lesion_jax.train.interrupt import Interrupt


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_flag_and_the_program_goes_on(number):
  with Interrupt() as should_stop:
    assert not should_stop()
    os.kill(os.getpid(), number)
    assert should_stop()


def test_the_first_signal_is_answered_on_stderr(capfd):
  with Interrupt():
    os.kill(os.getpid(), signal.SIGINT)
  assert capfd.readouterr().err == '\nstopping after the step under way; once more to end at once\n'


def test_a_second_ctrl_c_ends_the_program():
  with Interrupt() as should_stop, pytest.raises(KeyboardInterrupt):
    os.kill(os.getpid(), signal.SIGINT)
    assert should_stop()
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize('signals', [(), (signal.SIGTERM,), (signal.SIGINT,)])
def test_the_handlers_from_before_come_back(signals):
  before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
  with Interrupt():
    for number in signals:
      os.kill(os.getpid(), number)
  assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
