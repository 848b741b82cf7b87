"""What the process may use, of trees of control groups that are drawn here as the kernel writes them."""

from __future__ import annotations

import os
import pathlib
import platform
import subprocess
import sys

import pytest

from lesion_jax import machine

ROOT = pathlib.Path(__file__).parents[1]
V2 = '30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate'
V1 = ('31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n'
      '32 31 0:29 {part} /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n'
      '33 31 0:30 {part} /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory')


@pytest.fixture
def draw(tmp_path, monkeypatch):
  """`draw(files) -> root` of a system of 64 processors and 64 GB: {path: text}."""
  monkeypatch.setattr(os, 'process_cpu_count', lambda: 64, raising=False)
  monkeypatch.setattr(os, 'sysconf', {'SC_PHYS_PAGES': 1 << 24, 'SC_PAGE_SIZE': 1 << 12}.__getitem__)

  def write(files):
    for name, text in files.items():
      path = tmp_path / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(text + '\n')
    return tmp_path

  return write


def test_without_control_groups_it_is_what_the_machine_has(draw):
  assert machine.processors(draw({})) == 64 and machine.memory(draw({})) == 64 << 30


def test_the_least_of_a_group_and_those_around_it_counts_in_version_2(draw):
  root = draw({
      'proc/self/mountinfo': V2, 'proc/self/cgroup': '0::/kube/pod/one',
      'sys/fs/cgroup/kube/pod/one/cpu.max': 'max 100000', 'sys/fs/cgroup/kube/pod/cpu.max': '250000 100000',
      'sys/fs/cgroup/kube/cpu.max': '800000 100000',
      'sys/fs/cgroup/kube/pod/one/memory.max': '4294967296', 'sys/fs/cgroup/kube/pod/memory.max': 'max',
      'sys/fs/cgroup/memory.max': '8589934592'})
  assert machine.processors(root) == 3, 'two and a half are three'
  assert machine.memory(root) == 4 << 30


def test_a_container_sees_its_own_group_as_the_root(draw):
  root = draw({'proc/self/mountinfo': V2, 'proc/self/cgroup': '0::/', 'sys/fs/cgroup/cpu.max': '50000 100000',
               'sys/fs/cgroup/memory.max': '1073741824'})
  assert machine.processors(root) == 1 and machine.memory(root) == 1 << 30


@pytest.mark.parametrize('part, place', [('/', 'docker/7f/'), ('/docker/7f', ''), ('/docker', '7f/')])
def test_version_1_also_where_a_part_of_the_tree_is_mounted(draw, part, place):
  cpu, memory = f'sys/fs/cgroup/cpu,cpuacct/{place}', f'sys/fs/cgroup/memory/{place}'
  root = draw({
      'proc/self/mountinfo': V1.format(part=part),
      'proc/self/cgroup': '9:name=systemd:/\n4:memory:/docker/7f\n1:cpu,cpuacct:/docker/7f\n0::/',
      f'{cpu}cpu.cfs_quota_us': '200000', f'{cpu}cpu.cfs_period_us': '100000',
      f'{memory}memory.limit_in_bytes': '2147483648'})
  assert machine.processors(root) == 2 and machine.memory(root) == 2 << 30


def test_names_of_the_host_that_the_container_does_not_see_are_of_what_is_mounted(draw):
  root = draw({
      'proc/self/mountinfo': V1.format(part='/docker/7f'), 'proc/self/cgroup': '1:cpu,cpuacct:/another\n2:memory:/another',
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '300000', 'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '3221225472'})
  assert machine.processors(root) == 3 and machine.memory(root) == 3 << 30


@pytest.mark.parametrize('quota, limit', [('-1', str((1 << 63) - 4096)), ('', ''), ('many', 'much'), ('0', '0')])
def test_no_limit_and_nonsense_are_no_limit(draw, quota, limit):
  root = draw({'proc/self/mountinfo': V1.format(part='/'), 'proc/self/cgroup': '1:cpu,cpuacct:/\n2:memory:/',
               'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': quota, 'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000',
               'sys/fs/cgroup/memory/memory.limit_in_bytes': limit})
  assert machine.processors(root) == 64 and machine.memory(root) == 64 << 30


needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc' or sys.platform != 'linux', reason='of the GNU C library')
THREADS = """
import numpy as np
from lesion_jax.photograph.threads import limited, ordered_map

def work(number):  # blocks of growing sizes, as of photographs, by which the library learns to keep them
  small = []
  for size in (2, 6, 12, 20, 30):
    block = np.ones(size << 20, np.uint8)
    small.append(np.ones(50_000, np.uint8))  # one that stays above each, so that no heap ends in a hole
  return small

held = lambda: int(open('/proc/self/status').read().split('VmRSS:')[1].split()[0]) >> 10
before = held()
with limited(threads=8):
  kept = [list(ordered_map(work, range(8), ahead=8, each=1 << 20)) for _ in range(4)]
  print(held() - before)
"""


@pytest.mark.slow  # what an allocator keeps depends on what else runs
@needs_glibc
def test_memory_of_finished_photographs_goes_back_to_the_system():
  run = subprocess.run([sys.executable, '-c', THREADS], check=True, capture_output=True, text=True)
  assert int(run.stdout) < 40


HEAPS = """
import threading
from lesion_jax import machine

machine.share_heaps()
start, end = threading.Barrier(16), threading.Barrier(16)

def hold():
  start.wait()
  kept = [bytearray(50_000) for _ in range(40)]
  end.wait()

threads = [threading.Thread(target=hold) for _ in range(16)]
[each.start() for each in threads], [each.join() for each in threads]
heaps = [line for line in open('/proc/self/maps') if int(line.split('-')[0], 16) % (64 << 20) == 0 and ' 00:00 0' in line]
print(len(heaps))  # those of threads begin where their size of 64 MB divides the address
"""


@needs_glibc
@pytest.mark.skipif(sys.maxsize < 1 << 32, reason='the size of a heap is that of 64 bits')
def test_threads_of_a_command_share_heaps_where_the_user_has_not_said_otherwise():
  def heaps(**added):
    environment = {name: value for name, value in os.environ.items() if name not in ('MALLOC_ARENA_MAX', 'GLIBC_TUNABLES')}
    run = subprocess.run([sys.executable, '-c', HEAPS], env=environment | added, check=True, capture_output=True, text=True)
    return int(run.stdout)
  assert heaps() <= 2 < heaps(MALLOC_ARENA_MAX='12') <= 12


PREDICT = """
import sys
from lesion_jax import cli, machine
machine.processors, asked = lambda: COUNT, []
machine.share_heaps = lambda heaps=2: asked.append((heaps, 'jax' in sys.modules and bool(sys.modules['jax']._src.xla_bridge._backends)))
machine.keep_memory = lambda: asked.append('kept')
try:
  cli.main(['predict', 'nowhere.jpg', '--model', 'nothing', '--out', 'out'])
except SystemExit as end:
  print(end.code, asked[-1], 'kept' in asked)
"""


@pytest.mark.parametrize('count, heaps', [(4, 1), (8, 2)])
def test_prediction_asks_for_its_heaps_before_jax_starts_and_keeps_nothing_from_photograph_to_photograph(tmp_path, count, heaps):
  run = subprocess.run([sys.executable, '-c', PREDICT.replace('COUNT', str(count))], cwd=tmp_path, env=os.environ | {'PYTHONPATH': str(ROOT)}, check=True,
                       capture_output=True, text=True)
  assert run.stdout.split('\n')[-2] == f'2 ({heaps}, False) False'


KEPT = """
import ctypes, resource, threading
from lesion_jax import machine
machine.processors = lambda: COUNT
machine.keep_memory()
FROM_HERE

def pages():
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  bytearray(200 << 20)
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

found = []
thread = threading.Thread(target=lambda: found.extend(pages() for _ in range(3)))
thread.start(), thread.join()
print(found[-1])
"""


@needs_glibc
def test_from_where_it_is_said_a_computation_finds_the_memory_of_the_one_before_unless_many_threads_would_wait_or_the_user_has_spoken():
  def pages(count, then='machine.keep_from_here()', **added):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(('MALLOC_', 'GLIBC_TUNABLES'))}
    run = subprocess.run([sys.executable, '-c', KEPT.replace('COUNT', str(count)).replace('FROM_HERE', then)], env=environment | added, check=True,
                         capture_output=True, text=True)
    return int(run.stdout)
  assert pages(2) < 100 < pages(64) and pages(2, then='') > 100
  assert pages(2, MALLOC_ARENA_MAX='3') > 100 < pages(2, GLIBC_TUNABLES='glibc.malloc.arena_max=3')


def test_affinity_counts_where_python_does_not_say_it_itself(tmp_path, monkeypatch):
  monkeypatch.delattr(os, 'process_cpu_count', raising=False)
  monkeypatch.setattr(os, 'cpu_count', lambda: 64)
  monkeypatch.setattr(os, 'sched_getaffinity', lambda process: {3, 5, 7}, raising=False)
  assert machine.processors(tmp_path) == 3
  monkeypatch.delattr(os, 'sched_getaffinity')
  assert machine.processors(tmp_path) == 64
