"""Keys that the configuration got later: what it means where a stored configuration does not have them.

A run and a result keep their configuration, and the next command compares it with its own. A key that came since is no
difference where it says what was done before there was such a key. What is added to the configuration is added here.
"""

from __future__ import annotations

from typing import Any

from lesion_jax.build.parts import STAGES

# key of a stage -> the value as which its absence counts.
_OF_A_STAGE: dict[str, Any] = {
    'clip': 0.0,
    'criterion': '',
    'augmentation.quarter_turns': False,
    'augmentation.tint': (1.0, 1.0),
    'data.centred': 0.0,
    'data.crop': 0,
    'data.crop_scale': (1.0, 1.0),
    'data.draw_grades': (),
    'data.fold': 0,
    'data.folds': 0,
    'data.seed': 2020,
    'data.split': '',
    'data.draw_lesions': (),
    'data.grades_as_lesions': 'default',
    'data.keep': 0.0,
    'data.leaks': 'drop',
    'data.aside': 0.0,
    'data.ask_once': False,
    'data.weights': (),
    'ema': 0.0,
    'encoder_rate': 1.0,
    'final_rate': 0.01,
    'freeze': (),
    'hard_negatives': 0.0,
    'init': '',
    'init_drop': (),
    'lesion_weights': (),
    'model.encoder_norm': 'batch',
    'power': 0.9,
    'prior': 0.5,
    'save_every': 0,
    'specificity': 0.95,
    'thresholds': 'half',
    'schedule': 'plateau',
    'warm_up': 0,
}
ADDED_KEYS: dict[str, Any] = {f'{stage}.{key}': value for stage in STAGES for key, value in _OF_A_STAGE.items()} | {
    'segment.model.decoder_channels': (), 'grade.model.grading_size': 0}
