"""A finished network, or several as one, evaluated on a data set: what `lesion-jax evaluate` does, as functions.

    found = evaluate('idrid_multitask', 'idrid', source_dir='IDRiD', out='metrics')  # writes what the command writes
    found.report['pixel_f1']['mean']

In two steps, where what will be evaluated is to be read before it takes long:

    job = check(['bundle', 'other'], 'idrid', source_dir='IDRiD', tta='flips')
    print(job.title, job.notes)
    found = job.evaluate(progress=lambda done, total: print(done, total))
"""

from lesion_jax.assessment.checks import check
from lesion_jax.assessment.job import Job
from lesion_jax.assessment.run import evaluate, require_free
from lesion_jax.assessment.settings import Settings

__all__ = ['Job', 'Settings', 'check', 'evaluate', 'require_free']
