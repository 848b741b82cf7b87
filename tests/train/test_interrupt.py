"""A signal is a wish; the second Ctrl-C is an order."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from lesion_jax.train.interrupt import Interrupt, Interrupted


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


@pytest.mark.parametrize(('number', 'status'), [
    (signal.SIGINT, -signal.SIGINT), pytest.param(signal.SIGTERM, -signal.SIGTERM, marks=pytest.mark.slow)])
def test_two_that_come_together_are_two(number, status):
  """Python calls a handler once for both."""
  program = ('import os, signal, sys, time\n'
             'from lesion_jax.train.interrupt import Interrupt\n'
             'signal.signal(signal.SIGINT, signal.SIG_DFL)\n'
             'with Interrupt() as should_stop:\n'
             '  print("ready", flush=True)\n'
             '  hash((1,) * 60_000_000)\n'  # Python hears of both when this C code has ended
             '  time.sleep(2)\n'
             '  print("alive", should_stop(), flush=True)\n')
  for count in (1, 2):
    with subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
      assert process.stdout.readline() == 'ready\n'
      for _ in range(count):
        time.sleep(0.05)
        process.send_signal(number)
      said, _ = process.communicate(timeout=120)
    assert (said, process.returncode) == (('alive True\n', 0) if count == 1 else ('', status))


def test_one_of_each_kind_is_one_of_each():
  with Interrupt() as should_stop:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    assert should_stop()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_where_there_is_no_step_to_finish_a_signal_ends_it_at_once(number):
  with Interrupt() as should_stop:
    with pytest.raises(Interrupted), should_stop.at_once():
      os.kill(os.getpid(), number)
      raise AssertionError('it went on')
    assert should_stop()


def test_one_that_came_before_or_that_python_lost_ends_it_too():
  with Interrupt() as should_stop:
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Interrupted), should_stop.at_once():
      raise AssertionError('it began')
  with Interrupt() as should_stop, pytest.raises(Interrupted), should_stop.at_once():
    with contextlib.suppress(Interrupted):
      os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize('signals', [(), (signal.SIGTERM,), (signal.SIGINT,)])
def test_the_handlers_from_before_come_back(signals):
  before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
  with Interrupt():
    for number in signals:
      os.kill(os.getpid(), number)
  assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
