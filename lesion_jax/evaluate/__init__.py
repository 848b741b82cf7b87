"""From a network and a held-out split to the paper's figures."""

from lesion_jax.evaluate.examples import examples
from lesion_jax.evaluate.report import criterion, headline, report
from lesion_jax.evaluate.step import make_count_step
from lesion_jax.evaluate.totals import total_counts

__all__ = ['criterion', 'headline', 'examples', 'make_count_step', 'report', 'total_counts']
