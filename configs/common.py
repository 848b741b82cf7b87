"""Every key of the configuration, once, with the paper's setting (section IV-A) as the default.

The other files of this folder change some keys and lock the rest. An unknown key is an error, and so is a key of
`model` that is set to another value than here and that the chosen network does not have.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  """The paper's own setting. Numbers marked 'IV-A' are the paper's; the others are our choice."""
  config = ConfigDict()
  config.seed = 0  # of the initial weights, the order of the images and the augmentation
  # In this order, of segment, classify, grade, landmarks; a stage whose `bundle` is named is evaluated, not trained.
  config.stages = ('segment', 'grade')

  config.segment = _stage()
  # Eq. 2; starts as Eq. 3, becomes dual when the learning rate is first divided (IV-A). Others: dice, cross_entropy,
  # weighted_cross_entropy, focal, dice_cross_entropy, focal_tversky.
  config.segment.loss = 'dual_dice'
  config.segment.model = ConfigDict({
      'name': 'lesion_net_16s',  # docs/networks.md has all, `lesion-jax info` lists them
      'decoder_channels': (),  # of Lesion-Net: of its stages at strides 16, 8, 4, 2; () is (512, 256, 128, 64) by width
      **_network(),
  })

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
      'grading_size': 0,  # side of the square that the grading branch sees, averaged down from `data.size`; 0: all of it
      **_network(),
  })
  config.landmarks = _stage()
  config.landmarks.loss = 'landmark_cross_entropy'
  config.landmarks.data.update(name='idrid_landmarks', size=256)
  config.landmarks.model = ConfigDict({
      'name': 'landmark_net',
      'channels': (16, 32, 64, 96, 128),  # of landmark_net: at strides 2, 4, 8, 16 and 32
      'sync_batch_norm': False,
  })
  return config.lock()


def use_network(stage: ConfigDict, name: str, **fields) -> None:
  """Chooses the network of a stage and sets fields of it, those too that no network of lesion_jax has.

    common.use_network(config.segment, 'my_network', depth=3)
  """
  with stage.model.unlocked():
    stage.model.update(name=name, **fields)


def _stage() -> ConfigDict:
  """What every stage has."""
  return ConfigDict({
      'bundle': '',  # a finished bundle to use instead of training this stage, or a network of the package by its name
      # Inception-v3 weights of torchvision, timm or Keras (lesion_jax.weights.encoder); the paper starts from ImageNet.
      'pretrained': '',
      'data': {
          # A data set of docs/datasets.md; synthetic needs no raw dataset. Several to learn from at once with '+' between them:
          # 'idrid+synthetic'. What one of them does not annotate is no part of the loss there. The best model is chosen on
          # their validation splits as one, a lesion or grade being evaluated wherever it is annotated; the test report is of
          # all of them as one, and of each by itself.
          'name': 'retinal_lesions',
          # The raw dataset as unpacked; not needed for synthetic. Of several data sets one folder each, in their order and
          # with ':' between them as in PATH, none where none is needed: 'DIR:' for idrid+synthetic.
          'source_dir': '',
          # Of several data sets: how often to draw from each, (3.0, 1.0) for instance: three of the first to one of the
          # second in every batch, however large they are. () draws every photograph equally often.
          'weights': (),
          'size': 896,  # side of the square field of view as it is prepared and, but for crops, as the network takes it (IV-A)
          # Learn from crops of so many pixels instead of whole photographs, and so from a `size` that shows small lesions
          # (0: whole). The network still works on whole photographs of `size`.
          'crop': 0,
          'crop_scale': (1.0, 1.0),  # of the crops: magnification (low, high); see lesion_jax.data.crops
          # Share of the draws that begin with a lesion: one that any photograph has, one of the photographs that have it,
          # and a crop around one of its pixels. The others are anywhere.
          'centred': 0.0,
          'draw_lesions': (),  # how often those take each of the eight lesions; () is equally often
          'draw_grades': (),  # how often the others take each grade, DR0 to DR4; () is every photograph equally often
          'keep': 0.0,  # GB of decoded photographs to keep in memory; pays where photographs are large and few
          # A grade says which lesions are absent: of DR0 all, of DR1 all but microaneurysms (Table I). 'on' has every
          # graded data set among those to learn lesions from say so, 'off' none, 'default' those that docs/datasets.md
          # names. Claimed are the lesions that another of the data sets has masks of.
          'grades_as_lesions': 'default',
          # Share of the training patients of such data sets whose photographs validate instead: thresholds that keep healthy
          # eyes clean are chosen on healthy eyes that the network has not learned from, and it takes dozens.
          'aside': 0.0,
          # Ask the network about the photographs of such data sets whose grade says nothing of any lesion, the sick ones, as well: how
          # many of them it calls so is known then. No metric of a lesion depends on them.
          'sick': True,
          # Photographs that are in two splits, resized or compressed anew too: 'drop' leaves them out of training where they
          # are in validation or test, and out of what is evaluated where a network inside or before this one learned from
          # them; 'keep' does not look. The report says which. See docs/comparisons.md, Leakage.
          'leaks': 'drop',
          # Of a grading network around a frozen lesion network: ask that about each training photograph once, before the first
          # step, instead of at every step. Pays on CPUs; augmentation then moves pixels by flips and quarter turns alone.
          'ask_once': False,
          # Of a folder of one's own: what its grades mean ('icdr', 'referable', 'three' or '0=0,1=2-4'), what the values of
          # its masks are ('lesion=1,ignore=255') and the numbers of its index maps ('1=MA,2=iHE'); '' is what the folder's
          # own dataset.json says, or the default of docs/datasets.md.
          'scale': '',
          'mask_values': '',
          'mask_indices': '',
          'count': 0,  # synthetic only: how many images to draw; 0 is the builder's default
          # Where a raw dataset does not say which photographs are for training, validation and test: 'hash' deals patients by
          # chance alone, 'stratified' spreads grades and lesions as well, the rarest first; '' is the data set's own way
          # (docs/datasets.md). The seed is of that chance.
          'split': '',
          'seed': 2020,
          # Cross-validation: part `fold`, from 0, of `folds` equal ones is the test split; 0 is a single split. All folds by
          # one command: python -m experiments.folds
          'folds': 0,
          'fold': 0,
      },
      # A bundle to start from, of the same network, or of a grading network around it: all its weights are taken. What is named by `init_drop` (shell patterns
      # of names like 'head/score/kernel') starts afresh, for a head of another size for instance.
      'init': '',
      'init_drop': (),
      # Probability with which a segmentation network starts at every pixel: small lesions are learned sooner from a low
      # one (Lin et al., Focal Loss, 2017). 0.5 leaves the last bias at 0.
      'prior': 0.5,
      'batch_size': 8,  # over all devices
      'accumulate': 1,  # micro-batches a step; the loss and its gradient stay those of the whole batch
      'eval_batch_size': 8,
      'optimizer': 'sgd',  # 'sgd' (IV-A) or 'adamw'
      'learning_rate': 1e-3,  # the initial one (IV-A)
      **_schedule(),
      'momentum': 0.95,  # IV-A; of AdamW its beta 1
      'weight_decay': 1e-4,  # on every parameter (IV-A); coupled in SGD, as torch does it
      'lr_decay': 10.0,  # the learning rate is divided by this (IV-A)
      'patience': 4,  # after so many validations without improvement (IV-A)
      'stop_after': 10,  # early stop after so many (IV-A)
      'milestones': (),  # validations at which the learning rate is divided in any case; for short runs
      'dual_weight': 0.8,  # lambda of Eq. 2 (III-A)
      # Weights of the lesions in the loss, eight in the order of lesion_jax.core.LESIONS; () weighs all alike. For losses
      # that have a term of each lesion: dice_cross_entropy, focal_tversky and the cross entropies of maps. A lesion of
      # weight 0 is not learned.
      'lesion_weights': (),
      # Factor of one more part of the loss: the cross entropy of the 100 most probable pixels of every photograph or crop,
      # for the lesions that it has not. For losses of lesion maps; 0 adds nothing. Our choice.
      'hard_negatives': 0.0,
      # The figure of the validation split by which the best network is chosen: pixel_f1, image_f1, pixel_image_f1 (the
      # mean of the two), aupr (means over the lesions that occur in the split), kappa or, of landmarks, nearness; '': that
      # of the loss, pixel_image_f1 for dual_dice.
      'criterion': '',
      'max_steps': 0,  # 0: only early stop ends the training (IV-A)
      'validate_every': 1000,  # batches (IV-A)
      'save_every': 0,  # batches between checkpoints without a validation, where validations are far apart
      'log_every': 50,  # batches between lines of the log
      # Where the curves go beside metrics.csv: 'tensorboard', 'mlflow' (its extra; in files, or where MLFLOW_TRACKING_URI says), or
      # what lesion_jax.train.trackers.TRACKERS was given; () is nowhere else.
      'track': ('tensorboard',),
      # From which probability a pixel counts, and by which rule a lesion is called present. 'half': 0.5, and Eq. 1, the
      # paper's. 'validation': both by lesion, and a temperature a head, from the validation photographs of the network
      # that is returned; see lesion_jax.evaluate.thresholds.
      'thresholds': 'half',
      'specificity': 0.95,  # of 'validation': share of photographs without a lesion, and of healthy eyes, called clean
      # The smallest region of a lesion that masks and counts hold: 'none', every region; 'validation', by lesion, the one with
      # which most regions of the validation photographs are right (F1 by region, lesion_jax.evaluate.regions).
      'smallest': 'none',
      'augmentation': {  # the kinds are the paper's (IV-A), the ranges ours; see lesion_jax.augment
          'rotation': (-180.0, 180.0),  # degrees
          'scale': (0.9, 1.2),  # above 1 crops
          'shift': (-0.05, 0.05),  # of the side
          'horizontal_flip': 0.5,  # probability
          'vertical_flip': 0.5,
          'quarter_turns': False,  # turn by a random multiple of 90 degrees as well, exactly
          'brightness': (0.8, 1.2),  # factors, inside the field of view alone, as the next three
          'saturation': (0.8, 1.2),
          'contrast': (0.8, 1.2),
          'tint': (1.0, 1.0),  # of each colour channel
          'field': (2.0, 2.0),  # diameter of a round field of view that is cut out, as a share of the side; from 1.42 on all is left
      },
  })


def _schedule() -> dict:
  """How the learning rate changes, and what of the weights is trained and kept. Our choice; off, as the paper has it."""
  return {
      # 'plateau': the learning rate is divided when validation no longer improves (IV-A). Or 'cosine' or 'poly' over
      # max_steps: then a plateau neither divides the learning rate nor stops the run, and milestones only change the
      # loss to the dual one.
      'schedule': 'plateau',
      'warm_up': 0,  # steps over which the learning rate rises from 0
      'final_lr_factor': 0.01,  # of cosine: share of the learning rate at the end
      'power': 0.9,  # of poly: (1 - t)^power
      'ema': 0.0,  # decay of moving averages of the weights, 0.998 for instance; these are then evaluated and kept
      'clip': 0.0,  # longest gradient (norm over all parameters); 0 for any
      'encoder_lr_factor': 1.0,  # factor of the learning rate for the encoder
      # Further factors by shell patterns, the first that fits: (('encoder/Conv2d_*', 0.01), ('encoder/Mixed_5*', 0.1)).
      'lr_factors': (),
      'encoder_held': 0,  # steps for which the encoder is frozen, before it learns as well
      # Shell patterns of parameters that stay as they are, ('encoder/Conv2d_*',) for instance.
      'freeze': (),
  }


def _network() -> dict:
  """Fields of every network."""
  return {
      'width': 1.0,  # multiplier of all channel counts; 1 is Inception-v3
      'padding': 'SAME',  # 28x28 features at 896, as in the paper; 'VALID' is stock Inception-v3
      'dtype': 'float32',  # of the computation; 'bfloat16' halves the memory. Parameters are float32 always
      'remat': False,  # recompute activations in the backward pass, to save memory
      'sync_batch_norm': False,  # average BatchNorm's training statistics over the devices
      # By what BatchNorm in the encoder normalises while it is trained: 'batch', or 'running', which suits a pretrained
      # encoder and batches of a few crops.
      'encoder_norm': 'batch',
  }
