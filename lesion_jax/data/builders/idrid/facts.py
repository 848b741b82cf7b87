"""What the segmentation and the grading part of IDRiD share."""

from __future__ import annotations

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
