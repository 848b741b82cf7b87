"""What the segmentation and the grading part of IDRiD share."""

from __future__ import annotations

from typing import Any

from lesion_jax.data.splits import split_by_patient

TRAINING, TEST = 'a. Training Set', 'b. Testing Set'
HOMEPAGE = 'https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid'
LICENCE = 'CC BY 4.0'
CITATION = """
@article{porwal2018idrid,
  title={Indian Diabetic Retinopathy Image Dataset (IDRiD): A Database for Diabetic Retinopathy Screening Research},
  author={Porwal, Prasanna and Pachade, Samiksha and Kamble, Ravi and Kokare, Manesh and Deshmukh, Girish and
          Sahasrabuddhe, Vivek and Meriaudeau, Fabrice},
  journal={Data},
  volume={3},
  number={3},
  pages={25},
  year={2018}
}"""


def carve_validation(training: list[Any]) -> dict[str, list[Any]]:
  """Splits the official training set into 'train' and 'validation', 70 to 10 as in the paper, with the published seed.

  The release names no patients, so this is by photograph.

  Args:
    training: items with a `path`, whose stem names the photograph.
  """
  stems = [item.path.stem for item in training]
  positions = split_by_patient(stems, fractions=(7 / 8, 1 / 8, 0))
  return {split: [training[i] for i in positions[split]] for split in ('train', 'validation')}
