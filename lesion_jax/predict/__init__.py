"""From a photograph to lesion maps, lesion presence and DR grade, with the weights of one bundle or of several."""

from lesion_jax.predict.loading import load
from lesion_jax.predict.photographs import Square, prepare
from lesion_jax.predict.predictor import PhotographPrediction, Predictor
from lesion_jax.predict.step import make_predict_fn

__all__ = ['PhotographPrediction', 'Predictor', 'Square', 'load', 'make_predict_fn', 'prepare']
