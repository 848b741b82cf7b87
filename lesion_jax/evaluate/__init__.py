"""From a network and a held-out split to the paper's metrics. Called, it evaluates a bundle: `assessment.evaluate`."""

from lesion_jax.calling import make_callable
from lesion_jax.evaluate.agreement import agreement
from lesion_jax.evaluate.bootstrap import bootstrap, compare, intervals, patients
from lesion_jax.evaluate.calibration import calibration
from lesion_jax.evaluate.comparison import compare_grades, compare_systems
from lesion_jax.evaluate.examples import examples, present_in
from lesion_jax.evaluate.half import at_half
from lesion_jax.evaluate.healthy import clean_images, healthy_eyes, evaluate_healthy, evaluate_images
from lesion_jax.evaluate.native import native_counts, native_report
from lesion_jax.evaluate.referral import at_cut_points, operating_point, referral
from lesion_jax.evaluate.regions import choose_smallest, evaluate_regions, match, region_counts
from lesion_jax.evaluate.report import Evaluation, criterion, full_report, headline, report, scored_lesions
from lesion_jax.evaluate.step import make_count_step
from lesion_jax.evaluate.thresholds import choose, tempered
from lesion_jax.evaluate.totals import Counts, image_counts, part_of, totals

__all__ = [
           'Counts',
           'Evaluation',
           'agreement',
           'at_cut_points',
           'at_half',
           'bootstrap',
           'calibration',
           'choose',
           'choose_smallest',
           'clean_images',
           'compare',
           'compare_grades',
           'compare_systems',
           'criterion',
           'evaluate_healthy',
           'evaluate_images',
           'evaluate_regions',
           'examples',
           'full_report',
           'headline',
           'healthy_eyes',
           'image_counts',
           'intervals',
           'make_count_step',
           'match',
           'native_counts',
           'native_report',
           'operating_point',
           'part_of',
           'patients',
           'present_in',
           'referral',
           'region_counts',
           'report',
           'scored_lesions',
           'tempered',
           'totals',
]

make_callable(__name__, 'lesion_jax.assessment', 'evaluate')
