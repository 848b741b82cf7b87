"""The preprocessing that goes with an export stands alone and gives our squares, to the pixel."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from lesion_jax.data import synthetic
from lesion_jax.export import alone
from lesion_jax.export.preprocessing import morphology
from lesion_jax.photograph.crop import locate
from lesion_jax.predict import prepare

SIZE = 96
# What a deployer does, where SciPy and lesion_jax cannot be imported.
USE = '''
import json, pathlib, sys
for name in ("scipy", "lesion_jax", "jax", "flax"):
  sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
import numpy as np
import preprocessing
for place in map(pathlib.Path, sys.argv[2:]):
  try:
    square = preprocessing.prepare(place, size=96, crop=place.stem.partition("-")[0].replace("_", " "))
  except ValueError as error:
    place.with_suffix(".json").write_text(json.dumps(str(error)))
    continue
  back = square.crop.invert(square.pixels[..., 1].astype(np.float32))
  np.savez(place.with_suffix(".npz"), pixels=square.pixels, back=back)
'''


def _eye(seed=5, size=400):
  return synthetic.generate(seed=seed, index=2, size=size).image


def _on(height, width, *pieces, level=0):
  picture = np.full((height, width, 3), level, np.uint8)
  for top, left, piece in pieces:
    picture[top:top + len(piece), left:left + piece.shape[1]] = piece
  return picture


def _framed(picture):
  picture[[0, -1]], picture[:, [0, -1]] = 255, 255
  return picture


def _photographs():
  eye, rng = _eye(), np.random.default_rng(0)
  painted = np.where(ndimage.binary_fill_holes(eye.max(axis=-1) > 12)[..., None], eye, np.uint8(255))
  yield 'plain', _on(440, 620, (20, 100, eye))
  yield 'cut', _on(440, 620, (20, 100, eye))[60:380]
  yield 'frame', _framed(_on(440, 620, (20, 100, eye)))
  yield 'surround', _on(440, 620, (20, 100, painted), level=255)
  yield 'page', _on(460, 950, (30, 20, eye), (0, 450, np.full((460, 500, 3), 255, np.uint8)))
  yield 'two', _on(400, 860, (0, 0, eye), (0, 440, eye[:, ::-1]))
  yield 'glare', np.maximum(_on(440, 620, (20, 100, eye)), rng.integers(0, 17, (440, 620, 1), np.uint8))
  yield 'noise', rng.integers(0, 256, (220, 300, 3), np.uint8)
  yield 'large', np.asarray(Image.fromarray(_on(440, 620, (20, 100, eye))).resize((1861, 1321)))
  yield 'square', _on(480, 480, (30, 40, eye))
  yield 'black', np.zeros((120, 160, 3), np.uint8)
  yield 'small', eye[:40, :40]


def _hold(folder, places):
  """Each photograph by the shipped code, against ours; how many were answered with a square."""
  subprocess.run([sys.executable, '-I', '-c', USE, str(folder), *map(str, places)], check=True, timeout=300)
  answered = 0
  for place in places:
    crop = True if place.stem.startswith('field_of_view') else None
    try:
      expected = prepare(place, SIZE, crop=crop)
    except ValueError as error:
      assert json.loads(place.with_suffix('.json').read_text()) in str(error), place
      continue
    with np.load(place.with_suffix('.npz')) as found:
      np.testing.assert_array_equal(found['pixels'], expected.pixels, err_msg=str(place))
      np.testing.assert_array_equal(found['back'], expected.crop.invert(expected.pixels[..., 1].astype(np.float32)))
    answered += 1
  return answered


def test_it_gives_our_squares_and_our_refusals_without_scipy_and_lesion_jax(tmp_path):
  alone.write_preprocessing(tmp_path)
  places = []
  for crop in ('field_of_view', 'square'):
    for name, image in _photographs():
      places.append(tmp_path / f'{crop}-{name}.png')
      Image.fromarray(image).save(places[-1])
  turned = Image.fromarray(np.rot90(_on(440, 620, (20, 100, _eye()))).copy())
  turned.getexif()[0x0112] = 6
  turned.save(tmp_path / 'field_of_view-turned.jpg', exif=turned.getexif())
  for name, exif in (('cut off', b'Exif\0\0II*\0'), ('on its side', turned.getexif())):
    for ending in ('png', 'tif'):
      if ending == 'png' or name == 'on its side':
        places.append(tmp_path / f'field_of_view-{name} {ending}.{ending}')
        turned.save(places[-1], exif=exif)
  eye = Image.fromarray(_on(440, 620, (20, 100, _eye())))
  places.append(tmp_path / 'field_of_view-thumbnail first.tif')
  eye.resize((155, 110)).save(places[-1], save_all=True, append_images=[eye])
  assert _hold(tmp_path, [*places, tmp_path / 'field_of_view-turned.jpg']) == 23


@pytest.mark.slow
def test_so_it_does_of_real_photographs(real_idrid, tmp_path):
  alone.write_preprocessing(tmp_path)
  places = []
  for path in sorted(real_idrid.rglob('*.jpg'))[::60]:
    places.append(tmp_path / f'field_of_view-{path.stem}.jpg')
    places[-1].symlink_to(path)
  assert _hold(tmp_path, places) == len(places) == 10


def test_what_is_shipped_imports_numpy_and_pillow_alone(tmp_path):
  alone.write_preprocessing(tmp_path)
  for path in (tmp_path / 'preprocessing').glob('*.py'):
    imports = [line.split()[1] for line in path.read_text().splitlines() if line.startswith(('import ', 'from '))]
    assert {name.partition('.')[0] for name in imports} <= {
        '', '__future__', 'collections', 'contextlib', 'dataclasses', 'functools', 'os', 'pathlib', 'struct', 'typing', 'numpy', 'PIL'}, path


@pytest.mark.parametrize('share', [0.0, 0.1, 0.4, 0.59, 0.8, 1.0])
def test_the_small_functions_are_scipys(share):
  rng = np.random.default_rng(int(100 * share))
  for _ in range(20):
    mask = rng.random(rng.integers(1, 40, 2)) < share
    for found, expected in zip(morphology.label(mask), ndimage.label(mask), strict=True):
      np.testing.assert_array_equal(found, expected)
    seeds = mask & (rng.random(mask.shape) < 0.1)
    for arguments in ({'border_value': 1}, {}, {'iterations': 2}):
      np.testing.assert_array_equal(morphology.binary_erosion(mask, **arguments), ndimage.binary_erosion(mask, **arguments))
    np.testing.assert_array_equal(morphology.binary_propagation(seeds, mask=mask), ndimage.binary_propagation(seeds, mask=mask))


def test_in_the_library_it_is_the_same_code():
  from lesion_jax.export import preprocessing

  image = _on(440, 620, (20, 100, _eye()))
  square = preprocessing.prepare(image, SIZE, 'field of view', window=48)
  assert square.crop == locate(image)[0] and square.pixels.shape == (SIZE, SIZE, 3)
