"""What the segmentation and the grading part of DDR share."""

from __future__ import annotations

# Split of this library -> folder of the release.
FOLDERS = {'train': 'train', 'validation': 'valid', 'test': 'test'}
HOMEPAGE = 'https://github.com/nkicsl/DDR-dataset'
LICENCE = 'CC BY-NC-SA 4.0'
CITATION = """
@article{li2019ddr,
  title={Diagnostic Assessment of Deep Learning Algorithms for Diabetic Retinopathy Screening},
  author={Li, Tao and Gao, Yingqi and Wang, Kai and Guo, Song and Liu, Hanruo and Kang, Hong},
  journal={Information Sciences},
  volume={501},
  pages={511--522},
  year={2019}
}"""
