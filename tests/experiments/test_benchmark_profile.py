"""The profile: events of a trace are put to the operations of the program that ran."""

from __future__ import annotations

import pytest

from experiments.benchmarks import profile

TEXT = '''
  %param.1 = f32[2,8]{1,0} parameter(0)
  %conv.1 = f32[1,8,8,4]{3,2,1,0} convolution(%a, %b), window={size=3x3}, metadata={op_name="jit(f)/MultiTask/MultiTask.find/lesion/encoder/encoder._run/Mixed_5b/conv/conv_general_dilated" source_line=3}
  %convolution.2 = f32[4,3,3,4]{3,2,1,0} convolution(%a, %c), window={size=8x8}
  ROOT %add_fusion.7 = f32[4]{0} fusion(%x), kind=kLoop, metadata={op_name="jit(step)/transpose(jvp(LesionNet))/decoder_16s/merge_1/bn/add"}
'''


def event(name, milliseconds, **others):
  return {'ph': 'X', 'name': name, 'dur': 1e3 * milliseconds, **others}


def test_seconds_by_kind_and_part():
  events = [event('conv.1', 300), event('convolution.2', 100), event('add_fusion.7', 50), event('add_fusion.7', 50),
            event('ThunkExecutor::Execute', 900), {'ph': 'M', 'name': 'conv.1'},
            event('conv.1', 500)]
  found = profile.tables(profile.times(events), TEXT)
  assert found['seconds'] == pytest.approx(1.0)
  assert found['kinds'] == pytest.approx({'convolution': 0.9, 'fusion': 0.1})
  assert found['parts'] == pytest.approx({
      'lesion/encoder/Mixed_5b': 0.8, f'{profile.UNNAMED}: convolution': 0.1, 'decoder_16s/merge_1/bn, backward': 0.1})


@pytest.mark.parametrize('source, part', [
    ('jit(f)/jvp(LesionNet/encoder/encoder._run/Conv2d_2b_3x3/bn)/jit(_where)/select_n', 'encoder/Conv2d_2b_3x3/bn'),
    ('jit(f)/transpose(jvp(LesionNet/decoder_16s/merge_1/conv))/transpose(jvp())/dot_general', 'decoder_16s/merge_1/conv, backward'),
    ('jit(f)/psum', 'psum')])
def test_a_part_is_named_wherever_the_brackets_are(source, part):
  assert profile.part_of(source) == part


def test_on_a_gpu_only_its_streams_count():
  thread = lambda tid, name: {'ph': 'M', 'name': 'thread_name', 'pid': 1, 'tid': tid, 'args': {'name': name}}
  kernel = lambda tid: event('kernel_17', 500, pid=1, tid=tid, args={'hlo_op': 'conv.1'})
  events = [thread(1, 'Stream #13(Compute)'), thread(2, 'XLA Ops'), kernel(1), kernel(2)]
  assert profile.times(events) == {'conv.1': pytest.approx(0.5)}


def test_the_page_has_shares():
  page = profile.render({'what': 'step', 'network': 'multitask', 'batch': 2, 'size': 64, 'dtype': 'float32', 'width': 1.0,
                         'seconds': 2.0, 'kinds': {'convolution': 1.5, 'fusion': 0.5}, 'parts': {'encoder': 2.0},
                         'hardware': {'device': 'cpu', 'devices': 1, 'cpus': 2}, 'versions': {}, 'command': 'go'}, top=1)
  assert '| convolution | 75.0% | 1.5 |' in page and 'fusion' not in page
  assert '| encoder | 100.0% | 2 |' in page
