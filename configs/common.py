"""Every key of the configuration, once, with the paper's setting (section IV-A) as the default.

The other files of this folder change some keys and lock the rest. An unknown key is an error.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  """The paper's own setting. Numbers marked 'IV-A' are the paper's; the others are our choice."""
  config = ConfigDict()
  config.seed = 0  # of the initial weights, the order of the images and the augmentation
  # In this order, of segment, classify, grade; a stage whose `bundle` is named is evaluated, not trained.
  config.stages = ('segment', 'grade')

  config.segment = _stage()
  config.segment.loss = 'dual_dice'  # Eq. 2; starts as Eq. 3, becomes dual when the rate is first divided (IV-A)
  config.segment.model = ConfigDict({'name': 'lesion_net_16s', **_network()})

  config.classify = _stage()
  config.classify.loss = 'presence_dice'  # Eq. 4 on image labels (IV-C)
  config.classify.model = ConfigDict({'name': 'inception_v3_classifier', **_network()})  # or 'abn_classifier'

  config.grade = _stage()
  config.grade.loss = 'grade_cross_entropy'  # III-B
  config.grade.model = ConfigDict({
      # With a lesion network: multitask, lesion_concat. Without: inception_v3_grader, abn_grader.
      'name': 'multitask',
      'attention': 'conv',  # of multitask: Eq. 7; 'cw_maxpool': Eq. 6
      'joint': False,  # train the lesion network too; then with the loss 'joint'
      **_network(),
  })
  return config.lock()


def _stage() -> ConfigDict:
  """What every stage has."""
  return ConfigDict({
      'bundle': '',  # a finished bundle to use instead of training this stage
      # Inception-v3 weights of torchvision, timm or Keras (lesion_jax.weights.encoder); the paper starts from ImageNet.
      'pretrained': '',
      'data': {
          # A data set of docs/datasets.md; synthetic needs no release. Several to learn from at once with '+' between them:
          # 'idrid+synthetic'. What one of them does not annotate is no part of the loss there. The best model is chosen on
          # their validation splits as one, a lesion or grade being judged wherever it is annotated; the test report is of
          # all of them as one, and of each by itself.
          'name': 'retinal_lesions',
          # The release as unpacked; not needed for synthetic. Of several data sets one folder each, in their order and
          # with ':' between them as in PATH, none where none is needed: 'DIR:' for idrid+synthetic.
          'source_dir': '',
          # Of several data sets: how often to draw from each, (3.0, 1.0) for instance: three of the first to one of the
          # second in every batch, however large they are. () draws every photograph equally often.
          'weights': (),
          'size': 896,  # side of the square input (IV-A)
          'count': 0,  # synthetic only: how many images to draw; 0 is the builder's default
      },
      'batch_size': 8,  # over all devices
      'accumulate': 1,  # micro-batches a step; the loss and its gradient stay those of the whole batch
      'eval_batch_size': 8,
      'optimizer': 'sgd',  # IV-A; or 'adamw'
      'rate': 1e-3,  # initial learning rate (IV-A)
      'momentum': 0.95,  # IV-A
      'weight_decay': 1e-4,  # on every parameter (IV-A); coupled in SGD, as torch does it
      'factor': 10.0,  # the rate is divided by this (IV-A)
      'patience': 4,  # after so many validations without improvement (IV-A)
      'stop_after': 10,  # early stop after so many (IV-A)
      'milestones': (),  # validations at which the rate is divided in any case; for short runs
      'dual_weight': 0.8,  # lambda of Eq. 2 (III-A)
      'max_steps': 0,  # 0: only early stop ends the training (IV-A)
      'validate_every': 1000,  # batches (IV-A)
      'log_every': 50,
      # From which probability a pixel counts, and by which rule a lesion is called present. 'half': 0.5, and Eq. 1, the
      # paper's. 'validation': both by lesion, and a temperature a head, from the validation photographs of the network
      # that is returned; see lesion_jax.evaluate.thresholds.
      'thresholds': 'half',
      'specificity': 0.95,  # of 'validation': share of photographs without a lesion, and of healthy eyes, called clean
      'augmentation': {  # the kinds are the paper's (IV-A), the ranges ours; see lesion_jax.augment
          'rotation': (-180.0, 180.0),  # degrees
          'scale': (0.9, 1.2),  # above 1 crops
          'shift': (-0.05, 0.05),  # of the side
          'horizontal_flip': 0.5,  # probability
          'vertical_flip': 0.5,
          'brightness': (0.8, 1.2),  # factors
          'saturation': (0.8, 1.2),
          'contrast': (0.8, 1.2),
      },
  })


def _network() -> dict:
  """Fields of every network."""
  return {
      'width': 1.0,  # multiplier of all channel counts; 1 is Inception-v3
      'padding': 'SAME',  # 28x28 features at 896, as in the paper; 'VALID' is stock Inception-v3
      'dtype': 'float32',  # of the computation; 'bfloat16' halves the memory. Parameters are float32 always
      'remat': False,  # recompute activations in the backward pass, to save memory
      'sync_batch_norm': False,  # average BatchNorm's training statistics over the devices
  }
