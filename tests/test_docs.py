"""README and docs: every link leads somewhere, every command is one that there is, and code runs as it stands."""

from __future__ import annotations

import ast
import configparser
import functools
import importlib.util
import pathlib
import pkgutil
import re
import shutil
import sys

import jax
import numpy as np
import oracle
import pages
import pytest
import tiny_config
from absl import flags
from drawing import fundus, save
from ml_collections import ConfigDict, config_flags
from packaged import packaged
from tiny import TinyEncoder

import lesion_jax
from configs import common
from lesion_jax import cli, losses, main, models, pretrained, stages
from lesion_jax.command import parse_flags
from lesion_jax.core import Targets
from lesion_jax.data import registry
from lesion_jax.pretrained import networks
from lesion_jax.weights.bundle import load_bundle, save_bundle

ROOT, README, PAGES = pages.ROOT, pages.README, pages.PAGES
LONGEST_README = 120
OTHERS = ('onnxruntime', 'torch', 'tensorflow')  # what a block may need that the tests do not install: it is compiled only
EXTEND, QUICKSTART = ROOT / 'docs' / 'extend.md', ROOT / 'docs' / 'quickstart.md'
EVERY_PAGE = pytest.mark.parametrize('page', PAGES, ids=pages.name_of)
COLUMNS = {'AUPR': 'aupr', 'pixel F1': 'pixel_f1', 'image F1': 'image_f1', 'kappa': 'kappa',
           'referable DR: sensitivity': 'referable_sensitivity', 'referable DR: specificity': 'referable_specificity'}


def read(page):
  return page.read_text('utf-8')


class TestLinks:

  @EVERY_PAGE
  def test_every_link_leads_to_a_file_and_a_heading_that_there_are(self, page):
    dead = []
    for target in pages.links(page.read_text('utf-8')):
      if re.match(r'https?://', target):
        continue
      name, _, anchor = target.partition('#')
      file = (page.parent / name).resolve() if name else page
      if not file.exists() or not file.is_relative_to(ROOT):
        dead.append(target)
      elif anchor and anchor not in pages.anchors(file.read_text('utf-8')):
        dead.append(target)
    assert not dead

  def test_the_index_leads_to_every_page(self):
    index = ROOT / 'docs' / 'index.md'
    linked = {(index.parent / target.partition('#')[0]).resolve() for target in pages.links(index.read_text('utf-8'))}
    notebooks = set((index.parent / 'notebooks').glob('*.ipynb'))
    assert ({page for page in PAGES if page.parent == index.parent} | notebooks) - {index} == linked

  def test_anchors_are_those_of_github(self):
    text = '# Bundles, in *fewer* bytes\n## `init` & more\n## A-B c\n## A-B c\n```\n# no heading\n```\n<!-- # nor this -->\n'
    assert pages.anchors(text) == {'bundles-in-fewer-bytes', 'init--more', 'a-b-c', 'a-b-c-1'}


class TestReadme:

  def test_it_is_short(self):
    assert len(README.read_text('utf-8').splitlines()) <= LONGEST_README

  def test_it_names_make_and_says_that_it_is_no_medical_device(self):
    text = pages.shown(README.read_text('utf-8'))
    top = text.partition('\n## Predict')[0]
    assert {'make demo', 'make test'} <= {' '.join(words) for words in pages.commands(top)}
    assert 'For research use only. Not a medical device.' in text.partition('\n## ')[0]

  def test_it_says_what_is_packaged(self):
    text = README.read_text('utf-8')
    if networks.DEFAULT is None:
      assert '| network | learned from' not in text, 'the README shows a network, and none is packaged'
    else:
      assert not wrong_cells(text, networks.DEFAULT, pretrained.available()[networks.DEFAULT]['figures'])

  def test_a_table_that_says_another_thing_than_the_bundle_is_found(self):
    text = '| network | learned from | AUPR | kappa |\n|---|---|---|---|\n| `idrid` | IDRiD | 0.630 | … |\n'
    assert wrong_cells(text, 'idrid', {'aupr': 0.6301, 'accuracy': 0.9}) == ['kappa']
    assert wrong_cells(text, 'idrid', {'aupr': 0.64, 'kappa': 0.7}) == ['AUPR', 'kappa']
    assert wrong_cells(text.replace('…', '-'), 'idrid', {'aupr': 0.63}) == []
    assert wrong_cells(read(README), 'idrid', dict.fromkeys(COLUMNS.values(), 0.5)) == list(COLUMNS)


def wrong_cells(text, name, figures):
  """Columns of the network's row whose cell is not the bundle's own figure, or is still to be filled."""
  rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line.startswith('| ')]
  header = next(row for row in rows if row[:2] == ['network', 'learned from'])
  row = next(row for row in rows if row[0] == f'`{name}`')
  own = {title: f'{figures[key]:.3f}' for title, key in COLUMNS.items() if key in figures}
  return [title for title, cell in zip(header, row, strict=True)
          if title in COLUMNS and (cell != own[title] if title in own else '…' in cell)]


class TestCommands:
  """Nothing is run here, only held to the programs' own parsers."""

  @EVERY_PAGE
  def test_a_block_without_a_language_is_of_commands_or_has_none(self, page):
    rest = [block for block in pages.blocks(read(page), '') if not pages.for_the_shell(block)]
    assert not [block for block in rest if re.search(r'lesion-jax |python -m', block)]
    strange = [words for words in pages.commands(read(page)) if words[0] not in pages.PROGRAMS]
    assert not strange

  @EVERY_PAGE
  def test_lesion_jax_takes_every_command_with_its_options(self, page, capsys):
    parser = cli.make_parser()
    for words in pages.commands(read(page)):
      if words[0] == 'lesion-jax':
        try:
          assert callable(parser.parse_args(words[1:]).run)
        except SystemExit:
          pytest.fail(f'{" ".join(words)}: {capsys.readouterr().err}')

  @EVERY_PAGE
  @pytest.mark.filterwarnings('ignore:the load_module:DeprecationWarning')  # how ml_collections loads a configuration
  def test_every_configuration_is_one_with_the_keys_that_are_changed(self, page, monkeypatch, request):
    if page == EXTEND:
      request.getfixturevalue('mine')
    monkeypatch.chdir(ROOT)
    for words in pages.commands(read(page)):
      options = [word for word in words if re.match(r'--(no)?config', word)]
      if options:
        config = configuration(options, monkeypatch)
        for stage in stages.stages(config).values():
          names, weights, folders = stage.data.name.split('+'), stage.data.weights, stage.data.source_dir.split(':')
          assert len(weights) in ({0, len(names)} if len(names) > 1 else {0}), words
          assert stage.data.source_dir == '' or len(folders) == len(names), words
          assert stage.bundle or stage.data.source_dir or names == ['synthetic'], f'{words}: a raw dataset is read and not named'

  @EVERY_PAGE
  def test_other_programs_have_the_flags_that_they_are_given(self, page):
    for words in pages.commands(read(page)):
      if words[0] == 'python' and words[1:2] != ['-c']:
        given = {re.match(r'--?(\w+)', word)[1] for word in words if word.startswith('--') and not word.startswith('--config')}
        assert given <= known_flags(words), words
      elif words[:2] == ['python', '-c']:
        ast.parse(words[2])
      elif words[0] == 'make':
        assert re.search(rf'^(\w[\w-]* )*{words[1]}( [\w-]+)*:', (ROOT / 'Makefile').read_text('utf-8'), re.MULTILINE), words

  @EVERY_PAGE
  def test_what_prose_names_there_is(self, page):
    text = read(page)
    modules = set(re.findall(r'python -m ((?:experiments|lesion_jax)[.\w]*)', text)) - {'experiments.NAME'}
    assert not [name for name in modules if importlib.util.find_spec(name) is None]
    commands = set(re.findall(r'`lesion-jax ([a-z][a-z-]*)', text))
    assert commands <= known_commands()
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg', 'utf-8')
    extras = set(re.findall(r"'(?:\.|lesion_jax)\[(\w+)\]'", text)) | set(re.findall(r'extras? `(\w+)`', text))
    assert extras <= set(setup['options.extras_require'])

  @EVERY_PAGE
  def test_keys_in_prose_are_keys_of_the_configuration(self, page):
    for path in re.findall(r'--config\.([a-zA-Z_.]+[a-z])', read(page)):
      level = common.get_config()
      common.use_network(level.segment, 'two_taps', fine=8)  # of extend.md
      for key in path.split('.'):
        assert isinstance(level, ConfigDict), path
        level = level.segment if key == 'STAGE' else level[key]


def configuration(options, monkeypatch):
  """The configuration that a command's --config and overrides make."""
  values = flags.FlagValues()
  monkeypatch.setattr(flags, 'FLAGS', values)
  monkeypatch.setattr('lesion_jax.command.app.parse_flags_with_usage', values)
  config_flags.DEFINE_config_file('config', flag_values=values, sys_argv=['main', *options])
  parse_flags(['main', *options])
  return values.config


def known_flags(words):
  """The flags that the source of a program defines."""
  module = 'lesion_jax.main' if words[1] != '-m' else words[2]
  place = ROOT / module.replace('.', '/')
  files = [place / '__main__.py' if place.is_dir() else place.with_suffix('.py')]
  if re.search(r'\bmain\b.*import|import .*\bmain\b', files[0].read_text('utf-8')):
    files.append(ROOT / 'lesion_jax' / 'main.py')
  files += [ROOT / 'experiments' / 'runner.py'] if module.startswith('experiments.table') else []
  files += [ROOT / 'experiments' / 'benchmarks' / f'{words[3]}.py'] if module == 'experiments.benchmark' else []
  text = '\n'.join(file.read_text('utf-8') for file in files)
  return set(re.findall(r"'--(\w+)'", text)) | set(re.findall(r"DEFINE_\w+\(\s*'(\w+)'", text))


@functools.cache
def known_commands():
  return set(re.findall(r'^    ([a-z-]+)', cli.make_parser().format_help(), re.MULTILINE))


@pytest.fixture
def place(tmp_path, monkeypatch):
  """A folder with what the pages speak of: photographs, the demo's bundle (the oracle's), two evaluations, an export."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)
  save_bundle(tmp_path / 'runs' / 'demo' / 'grade' / 'bundle', config=oracle.oracle_config(), card='',
              variables={'params': {'gain': np.float32(1)}})
  for name, grade in (('photograph', 1), ('left', 2), ('right', 0)):
    save(tmp_path / f'{name}.jpg', oracle.photograph(grade=grade))
  rng = np.random.default_rng(0)
  truth = rng.random((12, 8)) < 0.5
  for folder in ('first', 'second'):
    said = rng.random((12, 8)) < 0.5
    (tmp_path / folder).mkdir()
    np.savez(tmp_path / folder / 'counts.npz', annotated=np.array(['MA', 'HaEx']), id=np.arange(12).astype(str), **{
        f'image_{kind}': which.astype(np.int64) for kind, which in (
            ('tp', truth & said), ('fp', ~truth & said), ('fn', truth & ~said), ('tn', ~truth & ~said))})
  return tmp_path


def python_blocks():
  """Every block of Python that stands by itself, by page and number."""
  for page in PAGES:
    found = pages.blocks(read(page), 'python')
    for number, block in enumerate(found):
      if page != EXTEND or number == len(found) - 1:
        yield pytest.param(page, block, id=f'{pages.name_of(page)}-{number}')


class TestBlocks:

  @pytest.mark.parametrize(('page', 'block'), list(python_blocks()))
  def test_python_runs_as_it_stands(self, place, page, block, monkeypatch):
    if page in (README, QUICKSTART):
      packaged(monkeypatch, place, 'idrid')
    needed = {alias.name for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Import) for alias in node.names}
    if needed & {*OTHERS}:
      assert page.name == 'deploy.md'
      return
    if 'grade-stablehlo' in block:
      assert cli.main(exports_stablehlo(page)) == 0
    monkeypatch.setattr(sys, 'path', list(sys.path))  # a page may add to it
    exec(compile(block, pages.name_of(page), 'exec'), {'__name__': 'page'})

  @pytest.mark.parametrize('name', ['README.md', 'docs/quickstart.md', 'docs/predict.md'])
  def test_the_prediction_of_a_photograph_runs_as_it_stands(self, place, name, monkeypatch):
    packaged(monkeypatch, place, 'idrid')
    lines = [words for words in pages.commands(read(ROOT / name)) if words[:3] == ['lesion-jax', 'predict', 'photograph.jpg']]
    assert lines
    for words in lines:
      assert cli.main(words[1:]) == 0
      out = pathlib.Path(words[words.index('--out') + 1])
      assert {'report.html', 'results.csv', 'photograph'} <= {path.name for path in out.iterdir()}
      shutil.rmtree(out)


def exports_stablehlo(page):
  """The words of the page's export that needs no extra."""
  words, = (words for words in pages.commands(read(page)) if words[:2] == ['lesion-jax', 'export'] and 'stablehlo' in words)
  return words[1:]


@pytest.fixture(scope='module')
def mine(tmp_path_factory):
  """The blocks of extend.md as a module; what it registers is taken back. TFDS knows a class but once, so it runs once."""
  registries = (models.MODELS, losses.LOSSES, stages.CRITERIA, registry.DATASETS)
  before = [dict(known) for known in registries]
  path = tmp_path_factory.mktemp('extend') / 'mine.py'
  path.write_text('\n\n'.join(pages.blocks(EXTEND.read_text('utf-8'), 'python')[:-1]), 'utf-8')
  spec = importlib.util.spec_from_file_location('mine', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  assert [known.keys() - old.keys() for known, old in zip(registries, before, strict=True)] == [
      {'two_taps'}, {'brier'}, {'brier'}, {'clinic'}]
  sys.modules['mine'] = module
  yield module
  del sys.modules['mine']
  for known, old in zip(registries, before, strict=True):
    known.clear()
    known.update(old)


class TestExtend:
  """The page about networks, losses and data sets of one's own: its blocks are one file."""

  def test_network_and_loss_train_and_leave_a_bundle_that_predicts(self, mine, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(models.MODELS, 'two_taps', functools.partial(mine.TwoTaps, encoder=TinyEncoder))
    monkeypatch.setattr(main, 'write_run', lambda *unused: [])  # pictures take longer than the training
    monkeypatch.setattr(main, 'examples', lambda *unused: [])
    config = tiny_config.changed(stages=('segment',), segment__loss='brier', segment__max_steps=2, segment__milestones=(),
                                 segment__data__count=30)
    common.use_network(config.segment, 'two_taps', fine=4)
    assert main.run(config, tmp_path / 'run', str(tmp_path / 'data'), lambda: False) == 0
    path = tmp_path / 'run' / 'segment' / 'bundle'
    bundle = load_bundle(path)
    assert (bundle.config['model']['name'], bundle.config['model']['fine'], bundle.config['imports']) == ('two_taps', 4, ['mine'])
    assert {'score_4', 'score_32'} <= bundle.variables['params'].keys()
    self.the_command_predicts_once_the_module_is_imported(path, mine, tmp_path, monkeypatch, capsys)

  def the_command_predicts_once_the_module_is_imported(self, path, mine, tmp_path, monkeypatch, capsys):
    save(tmp_path / 'photograph.png', fundus(200, 200))
    predict = ['predict', str(tmp_path / 'photograph.png'), '--model', str(path), '--out', str(tmp_path / 'found')]
    known = models.MODELS.pop('two_taps')
    monkeypatch.delitem(sys.modules, 'mine')
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'mine.py').write_text("raise SystemExit('a bundle has imported it')")
    with pytest.raises(SystemExit) as stop:
      cli.main(predict)
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert "the network 'two_taps' is not part of lesion_jax but of mine, which was not imported" in said and '--import mine' in said
    (tmp_path / 'mine.py').write_text('from lesion_jax import models\nmodels.MODELS.update(two_taps=models.waiting)\n')
    monkeypatch.setattr(models, 'waiting', known, raising=False)
    assert cli.main([*predict, '--import', 'mine']) == 0
    assert (tmp_path / 'found' / 'photograph' / 'result.json').is_file()
    monkeypatch.setitem(sys.modules, 'mine', mine)

  @pytest.mark.filterwarnings('ignore:the load_module:DeprecationWarning')  # how ml_collections loads a configuration
  def test_fields_of_its_own_are_keys_of_the_configuration(self, mine, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    network = '--config.segment.model.name=two_taps'
    options = ['--config=configs/segment.py', network, '--config.segment.model.fine=4']
    assert configuration(options, monkeypatch).segment.model.fine == 4
    assert configuration(options[:2], monkeypatch).segment.model.fine == 8
    with pytest.raises(SystemExit):
      configuration([options[0], options[2]], monkeypatch)  # of another network it is none
    assert "has no key 'fine'" in capsys.readouterr().err
    with pytest.raises(flags.Error, match='fine=much: invalid literal for int'):
      configuration([*options[:2], '--config.segment.model.fine=much'], monkeypatch)

  def test_it_takes_thirty_lines(self):
    first = pages.blocks(EXTEND.read_text('utf-8'), 'python')[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 30

  def test_the_loss_is_that_of_the_whole_batch_and_of_scored_pixels(self, mine):
    rng = np.random.default_rng(0)
    logits, truth = rng.normal(size=(4, 5, 5, 8)).astype(np.float32), rng.random((4, 5, 5, 8)) < 0.3
    scored = rng.random(truth.shape) < 0.8
    loss = losses.get_loss('brier')
    of = lambda rows: loss.sums(mine.Outputs(maps=logits[rows]), build_targets(truth[rows], scored[rows]))
    whole = loss.value(jax.tree.map(lambda one, other: one + other, of(slice(0, 1)), of(slice(1, 4))), 1.0)['loss']
    expected = np.mean((1 / (1 + np.exp(-logits.astype(np.float64))) - truth)[scored] ** 2)
    assert float(whole) == pytest.approx(expected, rel=1e-5)

  def test_the_data_set_is_read_and_split_by_patient(self, mine, tmp_path):
    release = tmp_path / 'clinic'
    names = [f'{patient}_{eye}' for patient in range(10) for eye in ('left', 'right')]
    for seed, name in enumerate(names):
      save(release / 'photographs' / f'{name}.png', fundus(60, 80, seed=seed))
    (release / 'grades.csv').write_text('id,grade\n' + ''.join(f'{name},{n % 5}\n' for n, name in enumerate(names)))
    dataset = registry.load_dataset('clinic', data_dir=tmp_path / 'prepared', size=32, source_dir=release, quiet=True)
    owners = [{name.partition('_')[0] for name in ids} for ids in dataset.ids.values()]
    assert sum(dataset.lengths.values()) == 20 and sum(map(len, owners)) == 10 and len(owners) == 3
    assert dataset.graded and not dataset.annotated


def build_targets(truth, scored):
  """Targets of lesion maps alone."""
  return Targets(lesions=truth, scored=scored, grade=np.full(len(truth), -1))


class TestSite:
  """What `make docs` builds; its own check of links and anchors is `mkdocs build --strict`."""

  NAV = (ROOT / 'mkdocs.yml').read_text('utf-8').partition('\nnav:\n')[2].partition('\nnot_in_nav')[0]

  def test_every_page_has_its_place(self):
    named = re.findall(r'([\w/-]+\.md)', self.NAV)
    docs = ROOT / 'docs'
    pages_there = [*docs.rglob('*.md'), *(path.with_suffix('.md') for path in docs.rglob('*.ipynb'))]  # see docs/hooks.py
    assert sorted(named) == sorted(path.relative_to(docs).as_posix() for path in pages_there)

  @pytest.mark.parametrize('page', sorted((ROOT / 'docs' / 'reference').glob('*.md')), ids=lambda page: page.stem)
  def test_the_reference_is_of_names_that_there_are(self, page):
    for name in re.findall(r'^::: ([\w.]+)', page.read_text('utf-8'), re.MULTILINE):
      assert pkgutil.resolve_name(name).__doc__, name

  def test_every_public_name_is_in_the_reference(self):
    text = '\n'.join(page.read_text('utf-8') for page in (ROOT / 'docs' / 'reference').glob('*.md'))
    named = {name.rpartition('.')[2] for name in re.findall(r'^::: ([\w.]+)', text, re.MULTILINE)}
    assert set(lesion_jax.__all__) - {'__version__', 'losses', 'metrics'} <= named
