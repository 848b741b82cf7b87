"""Files of labelme: what a person did in one stays."""

from __future__ import annotations

import json

import batch
import pytest

from lesion_jax.report.labelme import form_of, write_labelme


@pytest.mark.parametrize('flags, stays', [({}, False), (None, False), ({'DR0': False, 'DR1': False}, False), ({'DR0': True, 'DR1': False}, True), ([1], True)])
def test_a_grade_that_an_annotator_gave_a_photograph_without_a_lesion_stays(tmp_path, flags, stays):
  entry = batch.write(tmp_path, batch.HEALTHY)
  assert write_labelme(tmp_path / 'labelme', [entry]) == []
  path = tmp_path / 'labelme' / f'{entry.folder}.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | {'flags': flags}))
  assert (form_of(path) is None) is stays
  assert write_labelme(tmp_path / 'labelme', [entry]) == ([path.name] if stays else [])
  assert json.loads(path.read_text())['flags'] == (flags if stays else {})
