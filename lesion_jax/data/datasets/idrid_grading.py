"""IDRiD, part B: 516 photographs with a grade. No lesion is annotated."""

from __future__ import annotations

import pathlib

import tensorflow_datasets as tfds
from absl import logging

from lesion_jax.annotation.table import read_table
from lesion_jax.core import EDEMA, UNKNOWN_EDEMA
from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.layout import list_photographs, read_grades, require_grades
from lesion_jax.data.builders.records import GradedPhotograph, GradingBuilder
from lesion_jax.data.datasets.idrid import CITATION, HOMEPAGE, LICENCE, TEST, TRAINING
from lesion_jax.data.splits import labels_of

# Which photographs of IDRiD's grading part belong to one visit, mostly the two eyes of one patient.
#
# The comment of each original JPEG file names the visit; copies of the raw dataset often have lost it. Photographs whose
# comments name the same visit have the same number here, by the number of the photograph from 1; '-' has no comment.
TRAINING_VISITS = """
    1 1 2 3 4 5 5 6 6 7 7 8 8 9 9 10 10 11 11 12 12 13 14 14 15 15 16 16 17 18 18 19 19 20 20 21 22 22 23 23 24 24
    25 26 27 27 28 28 29 29 30 30 31 32 33 33 34 34 35 36 36 37 38 38 39 40 41 41 42 43 44 44 45 45 46 46 47 47 48
    48 49 49 50 51 51 52 53 53 54 54 55 55 56 56 57 58 59 60 60 61 62 63 64 65 66 67 67 68 69 69 70 71 71 72 73 74
    74 75 76 77 78 79 80 81 50 22 17 26 82 82 83 84 85 86 86 87 87 88 89 89 90 91 91 92 92 93 93 94 94 95 95 96 97
    97 98 99 100 99 101 83 102 103 104 105 105 106 106 107 107 108 108 109 110 111 111 112 113 114 115 116 117 118
    119 120 121 121 122 123 124 125 126 126 127 128 129 - 130 131 131 132 133 134 135 136 137 138 139 139 140 141
    141 142 143 143 144 145 146 147 147 148 149 150 151 152 153 154 155 155 156 157 158 158 159 160 - 161 161 162
    163 163 164 165 166 167 168 168 169 169 170 170 171 172 173 174 175 176 177 177 178 179 179 180 180 181 182 182
    183 184 185 185 186 186 187 188 189 190 191 191 48 192 192 193 194 194 195 195 196 196 197 198 198 199 200 200 -
    201 202 203 204 205 206 206 207 207 208 209 - 210 210 211 211 212 213 213 214 215 215 216 217 218 218 219 220
    220 221 221 16 40 222 222 223 224 27 225 226 227 228 229 229 230 231 232 - - 233 233 234 235 236 236 237 238 238
    217 239 219 240 241 242 243 244 244 - - 245 246 247 248 248 249 250 250 251 252 45 253 253 254 255 35 256 257
    258 258 259 260 261 262 263 263 12 264 265 266 267 268 8 269 270 270 25 271 271 27 272 273 274 275 65 276 77 277
    278
""".split()
TEST_VISITS = """
    279 52 280 281 282 283 284 243 246 285 285 286 259 287 21 264 288 289 290 290 291 291 292 224 293 293 272 294
    295 296 297 297 298 299 299 300 301 302 302 280 303 72 304 305 306 307 308 309 73 310 79 311 312 313 313 314 314
    315 276 316 317 317 318 75 319 - 59 320 320 4 321 10 322 323 324 325 325 326 327 328 329 322 329 330 331 277 332
    333 333 334 152 335 331 336 336 113 337 337 338 339 339 340 341
""".split()

# Pairs that are one photograph (equal bytes) with different grades, as (set, number): training 118 has grade 0 and
# test 064 grade 3. What neither grade can be trusted for is not learned from.
CONTRADICTED = (('train', 21), ('train', 391), ('train', 28), ('train', 327), ('train', 118))

RISK = 'Risk of macular edema'  # a column
PHOTOGRAPHS = pathlib.Path('B. Disease Grading', '1. Original Images')
TABLES = pathlib.Path('B. Disease Grading', '2. Groundtruths')
TABLE_OF = {
    TRAINING: 'a. IDRiD_Disease Grading_Training Labels.csv',
    TEST: 'b. IDRiD_Disease Grading_Testing Labels.csv',
}


class IdridGrading(GradingBuilder):
  """`source_dir` is the folder that holds 'B. Disease Grading'. Validation is carved from the official training set by
  visit, see `visits`.

  Seen in the published files: all of it, names, folders, both tables with their empty columns, counts and splits.
  """

  VERSION = tfds.core.Version('1.2.0')
  READS = ('B. Disease Grading',)
  RELEASE_NOTES = {'1.2.0': 'With the risk of macular edema.', '1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  GRADES_AS_LESIONS = True
  DEALT = ('train', 'validation')
  SPLIT = 'hash'
  PUBLISHED = {'training photographs': 413, 'test photographs': 103}
  DESCRIPTION = (
      'The grading part of the Indian Diabetic Retinopathy Image Dataset: 516 photographs of 4288x2848 pixels with a '
      'grade 0..4 and a risk of macular edema 0..2, here cropped to the square field of view. The test set is the official one. A visit counts as a '
      'patient; training photographs of a visit that is in the test set are left out, and so are those that are in the '
      'release twice with different grades.')
  CITATION = CITATION
  HOMEPAGE = HOMEPAGE
  LICENCE = LICENCE

  def release(self) -> Release:
    """Lists photographs in '1. Original Images', one table for each set in '2. Groundtruths'."""
    training = self._list(TRAINING, TRAINING_VISITS, 'train')
    test = self._list(TEST, TEST_VISITS, 'test')
    counts = {'training photographs': len(training), 'test photographs': len(test)}
    of_test = {photograph.patient for photograph in test}
    contradicted = {f'IDRiD_{number:03d}' for part, number in CONTRADICTED if part == 'train'}
    kept = [photograph for photograph in training
            if photograph.patient not in of_test and photograph.path.stem not in contradicted]
    if len(kept) < len(training):
      logging.info('%s: %d training photographs are excluded: their visit is in the test set, or they are in the '
                   'raw dataset twice with different grades', self.name, len(training) - len(kept))
    splits = self.builder_config.dealing.carve(
        kept, [photograph.patient for photograph in kept], [labels_of(grade=photograph.grade) for photograph in kept], test=test)
    return Release(splits, counts)

  def _list(self, official_set: str, visits: list[str], part: str) -> list[GradedPhotograph]:
    root = self.builder_config.source_dir
    paths = list_photographs(root / PHOTOGRAPHS / official_set, 'IDRiD_*.jpg')
    table = root / TABLES / TABLE_OF[official_set]
    grades = read_grades(table, id_column='Image name', grade_column='Retinopathy grade')
    require_grades(grades, paths, table)
    edema = {}  # a copy of the release may have lost the column
    if read_table(table).find(RISK) is not None:
      edema = read_grades(table, id_column='Image name', grade_column=RISK, steps=len(EDEMA))
    return [GradedPhotograph(path, _patient(path.stem, visits, part), grades[path.stem], edema.get(path.stem, UNKNOWN_EDEMA))
            for path in paths]


def _patient(photograph: str, visits: list[str], part: str) -> str:
  """The visit as the name of a patient; where none is known the photograph's own, with the part, as both count from 1."""
  number = photograph.rpartition('_')[2]
  visit = visits[int(number) - 1] if number.isdigit() and 0 < int(number) <= len(visits) else '-'
  return f'{part} {photograph}' if visit == '-' else f'visit {visit}'
